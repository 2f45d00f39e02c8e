from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mediswarm.evaluation import FEDERATED, evaluate_predictions, roc_curves

CLASSES = ("none", "benign", "malignant")


def test_area_under_the_curve_is_the_auroc(write_predictions: Callable[..., Path]) -> None:
    path = write_predictions("test.csv", (30, 20, 25), 1.0)
    # Ties: one digit.
    rows = path.read_text().splitlines()
    path.write_text(
        "\n".join([rows[0], *(f"{row.rsplit(',', 3)[0]},{_tenths(row)}" for row in rows[1:])]) + "\n"
    )
    found = {
        result.metric: result.value for result in evaluate_predictions(path, "north", FEDERATED, CLASSES)
    }
    curves = roc_curves(path, "north", FEDERATED, CLASSES)
    assert [curve.label for curve in curves] == list(CLASSES)
    for curve in curves:
        false, true = np.array(curve.false_positive_rate), np.array(curve.true_positive_rate)
        assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
        assert (np.diff(false) >= 0).all()
        area = ((true[1:] + true[:-1]) / 2 * np.diff(false)).sum()
        assert area == pytest.approx(found[f"auroc_{curve.label}"])


def test_a_class_without_cases_has_no_curve(write_predictions: Callable[..., Path]) -> None:
    path = write_predictions("test.csv", (5, 5, 0), 1.0)
    assert [curve.label for curve in roc_curves(path, "north", FEDERATED, CLASSES)] == ["none", "benign"]


def _tenths(row: str) -> str:
    first, second, _ = (round(float(cell), 1) for cell in row.rsplit(",", 3)[1:])
    second = min(second, 1 - first)
    return f"{first:.1f},{second:.1f},{1 - first - second:.1f}".replace("-0.0", "0.0")
