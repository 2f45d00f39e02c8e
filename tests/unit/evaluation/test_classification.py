import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, roc_auc_score

from mediswarm.evaluation import FEDERATED, Result, evaluate_predictions
from mediswarm.evaluation.intervals import auroc_interval

CLASSES = ("none", "benign", "malignant")
Write = Callable[..., Path]


def _by_metric(path: Path, classes: tuple[str, ...] = CLASSES) -> dict[str, Result]:
    return {result.metric: result for result in evaluate_predictions(path, "north", FEDERATED, classes)}


def _arrays(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))[1:]
    return np.array([int(row[1]) for row in rows]), np.array(
        [[float(cell) for cell in row[2:]] for row in rows]
    )


def test_values_equal_scikit_learns(write_predictions: Write) -> None:
    path = write_predictions("test.csv", (30, 20, 25), 1.0)
    found, (targets, probabilities) = _by_metric(path), _arrays(path)
    truth = np.eye(3)[targets]
    decided = probabilities.argmax(axis=1)
    assert found["auroc_macro"].value == pytest.approx(roc_auc_score(truth, probabilities, average="macro"))
    assert found["balanced_accuracy"].value == pytest.approx(balanced_accuracy_score(targets, decided))
    assert found["accuracy"].value == pytest.approx((targets == decided).mean())
    brier = sum(brier_score_loss(truth[:, c], probabilities[:, c]) for c in range(3))
    assert found["brier"].value == pytest.approx(brier)
    for index, name in enumerate(CLASSES):
        auroc = found[f"auroc_{name}"]
        assert auroc.value == pytest.approx(roc_auc_score(truth[:, index], probabilities[:, index]))
        assert auroc.support == (targets == index).sum()
        hit = ((targets == index) & (decided == index)).sum()
        assert found[f"sensitivity_{name}"].value == pytest.approx(hit / (targets == index).sum())
        cleared = ((targets != index) & (decided != index)).sum()
        assert found[f"specificity_{name}"].value == pytest.approx(cleared / (targets != index).sum())
        assert found[f"specificity_{name}"].support == (targets != index).sum()
    assert all(
        result.low <= result.value <= result.high
        for result in found.values()
        if result.low is not None and result.high is not None and result.value is not None
    )


@pytest.mark.parametrize("few", [1, 2])
def test_e1_a_class_of_two_cases_does_not_move_the_macro(write_rows: Write, few: int) -> None:
    solid = [f"n{i},0,{0.9 - 0.02 * i:.2f},0,{0.1 + 0.02 * i:.2f}" for i in range(20)]
    solid += [f"m{i},2,{0.7 - 0.02 * i:.2f},0,{0.3 + 0.02 * i:.2f}" for i in range(20)]

    def with_benign(row: str) -> dict[str, Result]:
        return _by_metric(write_rows(*solid, *(f"b{i},1,{row}" for i in range(few))))

    found_well, found_badly = with_benign("0.02,0.96,0.02"), with_benign("0.02,0,0.98")
    for found in (found_well, found_badly):
        macro = found["auroc_macro"]
        assert macro.classes == ("none", "malignant")
        assert not macro.descriptive
        assert macro.value == pytest.approx(np.mean([found[f"auroc_{c}"].value for c in macro.classes]))
        assert found["auroc_benign"].descriptive
        assert found["auroc_benign"].support == few
        assert found["sensitivity_benign"].descriptive
        assert found["balanced_accuracy"].classes == ("none", "malignant")
    # Benign is found once and missed once; counted, it would move the mean by a sixth.
    assert found_well["auroc_benign"].value == 1.0
    assert found_badly["auroc_benign"].value == 0.5
    both = found_well["auroc_macro"].value, found_badly["auroc_macro"].value
    assert both[0] == pytest.approx(both[1], abs=0.05)


def test_e1_few_negatives_are_as_poor_a_support_as_few_positives(write_predictions: Write) -> None:
    found = _by_metric(write_predictions("test.csv", (40, 3), 1.0, classes=("no", "yes")), ("no", "yes"))
    assert found["auroc_no"].support == 40
    assert found["auroc_no"].descriptive
    assert found["auroc_macro"].descriptive


def test_e1_where_no_class_is_well_supported_the_mean_is_marked(write_predictions: Write) -> None:
    found = _by_metric(write_predictions("test.csv", (9, 4, 0), 1.0))
    assert found["auroc_macro"].classes == ("none", "benign")
    assert found["auroc_macro"].descriptive
    assert found["balanced_accuracy"].descriptive


def test_ten_cases_are_enough(write_predictions: Write) -> None:
    found = _by_metric(write_predictions("test.csv", (10, 10, 9), 1.0))
    assert found["auroc_macro"].classes == ("none", "benign")
    assert [found[f"auroc_{name}"].descriptive for name in CLASSES] == [False, False, True]


def test_d3_an_absent_class_is_undefined_and_not_zero(write_predictions: Write) -> None:
    found = _by_metric(write_predictions("test.csv", (15, 15, 0), 1.0))
    for metric in ("auroc_malignant", "sensitivity_malignant"):
        assert found[metric].value is None
        assert found[metric].support == 0
        assert found[metric].low is None
        assert found[metric].descriptive
    assert found["specificity_malignant"].support == 30
    assert found["auroc_macro"].classes == ("none", "benign")


@pytest.mark.parametrize("rows", [(), ("a,0,0.5,0.3,0.2",)])
def test_no_cases_or_one_class_give_no_auroc(write_rows: Write, rows: tuple[str, ...]) -> None:
    found = _by_metric(write_rows(*rows))
    assert found["auroc_macro"].value is None
    assert found["auroc_macro"].classes == ()
    assert found["auroc_macro"].support == len(rows)
    assert found["accuracy"].value == (1.0 if rows else None)


def test_perfect_separation_still_has_an_interval(write_rows: Write) -> None:
    rows = [f"n{i},0,1,0,0" for i in range(12)] + [f"b{i},1,0,1,0" for i in range(12)]
    macro = _by_metric(write_rows(*rows))["auroc_macro"]
    assert (macro.value, macro.high) == (1.0, 1.0)
    assert macro.low == pytest.approx(auroc_interval(1.0, 12, 12)[0])


def test_calibration_error_of_a_model_that_is_too_sure(write_rows: Write) -> None:
    # Confidence 0.95, right in three of four: the gap is 0.2.
    rows = [f"a{i},{int(i % 4 == 0)},0.95,0.05,0" for i in range(40)]
    found = _by_metric(write_rows(*rows))["calibration_error"]
    assert found.value == pytest.approx(0.2)
    assert found.descriptive
    assert found.low is None


def test_the_same_file_gives_the_same_numbers(write_predictions: Write) -> None:
    path = write_predictions("test.csv", (30, 20, 25), 1.0)
    assert _by_metric(path) == _by_metric(path)
