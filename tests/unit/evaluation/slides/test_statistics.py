"""Statistics against scikit-learn and lifelines."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from lifelines import KaplanMeierFitter
from lifelines.statistics import logrank_test
from lifelines.utils import concordance_index
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from mediswarm.evaluation.slides.judged import JudgedPatients
from mediswarm.evaluation.slides.statistics import Statistic, statistics, write_statistics
from mediswarm.evaluation.slides.survival_groups import SurvivalGroups
from mediswarm.pipelines.stamp.tasks.classification import Classification, ClassificationConfig
from mediswarm.pipelines.stamp.tasks.regression import Regression, RegressionConfig
from mediswarm.pipelines.stamp.tasks.survival import Survival, SurvivalConfig


def judged(predictions: np.ndarray, targets: np.ndarray) -> JudgedPatients:
    ids = tuple(f"p{index:03}" for index in range(len(targets)))
    return JudgedPatients(ids, torch.tensor(predictions).float(), torch.tensor(targets).float())


def found(rows: list[Statistic]) -> dict[tuple[str, str], Statistic]:
    return {(row.metric, row.category): row for row in rows}


def followed(count: int) -> JudgedPatients:
    random = np.random.default_rng(5)
    risk = random.normal(size=count)
    time = np.ceil(random.exponential(300 * np.exp(-risk)) / 20) * 20  # with ties
    event = (random.random(count) < 0.7).astype(float)
    return judged(risk + random.normal(size=count), np.stack([time, event], axis=1))


def test_a_label_with_categories() -> None:
    random = np.random.default_rng(1)
    truth = np.repeat([0, 1, 2], [30, 20, 6])
    logits = random.normal(size=(56, 3)) + 1.5 * np.eye(3)[truth]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    task = Classification(ClassificationConfig(label="L", categories=("a", "b", "c")))
    patients = judged(shares, truth[:, None])
    shares = patients.predictions.numpy()
    rows = found(statistics(task, patients, None))
    decided = shares.argmax(axis=1)
    for place, name in enumerate("abc"):
        positive = truth == place
        assert rows["auroc", name].value == pytest.approx(roc_auc_score(positive, shares[:, place]))
        assert rows["auprc", name].value == pytest.approx(average_precision_score(positive, shares[:, place]))
        assert rows["f1", name].value == pytest.approx(f1_score(positive, decided == place))
        assert rows["auroc", name].support == positive.sum()
        assert rows["auroc", name].descriptive == (name == "c")
    assert rows["accuracy", ""].value == pytest.approx((decided == truth).mean())
    for row in rows.values():
        assert row.low is not None and row.high is not None and row.value is not None  # noqa: PT018
        assert row.low < row.value < row.high


def test_what_cannot_be_said_is_left_empty(tmp_path: Path) -> None:
    task = Classification(ClassificationConfig(label="L", categories=("a", "b", "c")))
    shares = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1]])
    rows = statistics(task, judged(shares, np.array([[0], [1], [0]])), None)
    assert found(rows)["auroc", "c"].value is None
    assert found(rows)["auroc", "c"].support == 0
    write_statistics(tmp_path / "statistics.csv", rows)
    with (tmp_path / "statistics.csv").open(newline="") as stream:
        written = {(row["metric"], row["category"]): row for row in csv.DictReader(stream)}
    assert written["auroc", "c"]["value"] == written["auroc", "c"]["low"] == ""
    assert written["auroc", "a"]["value"] == "1"
    assert written["auroc", "a"]["descriptive"] == "yes"
    assert float(written["auroc", "a"]["low"]) < 0.9  # perfect, of three patients


def test_regression() -> None:
    random = np.random.default_rng(2)
    truth = random.normal(size=80)
    said = truth + random.normal(size=80)
    task = Regression(RegressionConfig(label="V", unit="1", minimum=-9, maximum=9))
    rows = found(statistics(task, judged(said, truth[:, None]), None))
    assert rows["pearson", ""].value == pytest.approx(np.corrcoef(truth, said)[0, 1], rel=1e-5)
    assert rows["mae", ""].value == pytest.approx(np.abs(truth - said).mean(), rel=1e-5)
    pearson = rows["pearson", ""]
    # Fisher's interval, for comparison
    expected = np.tanh(np.arctanh(pearson.value) + np.array([-1.96, 1.96]) / np.sqrt(77))
    np.testing.assert_allclose([pearson.low, pearson.high], expected, atol=0.06)
    assert (pearson.label, pearson.support, pearson.descriptive) == ("V", 80, False)


def test_survival_against_lifelines() -> None:
    patients = followed(70)
    config = SurvivalConfig(time="T", status="S", unit="days", censored_after=5000)
    groups = SurvivalGroups.of(patients, None)
    rows = found(statistics(Survival(config), patients, groups))
    risk, (time, event) = patients.predictions.numpy(), patients.targets.numpy().T
    c_index = rows["c_index", ""]
    assert c_index.value == pytest.approx(concordance_index(time, -risk, event))
    assert c_index.low is not None and c_index.high is not None  # noqa: PT018
    assert c_index.low < c_index.value < c_index.high
    assert c_index.support == event.sum()
    high = risk > np.median(risk)
    tested = logrank_test(time[high], time[~high], event[high], event[~high])
    assert rows["log_rank_p", ""].value == pytest.approx(tested.p_value, rel=1e-6)
    assert rows["log_rank_chi2", ""].value == pytest.approx(tested.test_statistic, rel=1e-6)
    assert rows["events", "higher risk"].value == event[high].sum()
    assert rows["events", "higher risk"].support == high.sum()
    for group, members in enumerate((~high, high)):
        fitted = KaplanMeierFitter().fit(time[members], event[members])
        np.testing.assert_allclose(groups.survival[group], fitted.predict(groups.times), rtol=1e-6)
        assert len(groups.censored[group]) == (event[members] == 0).sum()


def test_the_cut_off_of_the_run_is_kept() -> None:
    patients = followed(30)
    groups = SurvivalGroups.of(patients, 0.5)
    assert groups.of_the_run
    assert groups.sizes[1] == int((patients.predictions > 0.5).sum())
    # the patient at the median belongs below
    assert SurvivalGroups.of(followed(31), None).sizes == (16, 15)
    alone = SurvivalGroups.of(patients, 99.0)
    assert alone.sizes == (30, 0)
    assert alone.p is None
