"""Tasks: what they accept of a row, one scale of the loss at every site, metrics from sums of counts."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from sklearn.metrics import average_precision_score, f1_score, r2_score, roc_auc_score
from torch import nn
from torch.nn.functional import cross_entropy, smooth_l1_loss

from mediswarm.errors import DataError
from mediswarm.pipelines import add_counts
from mediswarm.pipelines.stamp.models import ClamModel, misfit
from mediswarm.pipelines.stamp.tasks import Task, TaskConfig
from mediswarm.pipelines.stamp.tasks.survival_curves import CUT_OFFS, RiskGroups, exit_counts

CLASSIFICATION = {"name": "classification", "label": "MSI", "categories": ["MSS", "MSI-H"]}
REGRESSION = {"name": "regression", "label": "TMB", "unit": "1/Mb", "minimum": 0, "maximum": 200}
SURVIVAL = {
    "name": "survival",
    "time": "OS",
    "status": "STATUS",
    "unit": "months",
    "censored_after": 24.0,
    "intervals": 24,
}
MULTI_TARGET = {
    "name": "multi_target",
    "targets": [
        {"label": "KRAS", "categories": ["WT", "mut"]},
        {"label": "CMS", "categories": ["1", "2", "3", "4"]},
    ],
}


def task(config: Mapping[str, Any]) -> Task:
    model: TaskConfig = TypeAdapter(TaskConfig).validate_python(dict(config))
    return model.build()


@pytest.mark.parametrize(
    ("config", "row", "target"),
    [
        (CLASSIFICATION, {"MSI": " MSI-H "}, [1]),
        (REGRESSION, {"TMB": "12.5"}, [12.5]),
        (REGRESSION, {"TMB": "200"}, [200]),
        (SURVIVAL, {"OS": "3.5", "STATUS": "Dead"}, [3.5, 1]),
        (SURVIVAL, {"OS": "0", "STATUS": "yes"}, [0, 1]),
        (SURVIVAL, {"OS": "24", "STATUS": "1"}, [24, 1]),
        (SURVIVAL, {"OS": "3", "STATUS": "ALIVE"}, [3, 0]),
        (SURVIVAL, {"OS": "3", "STATUS": "0.0"}, [3, 0]),
        (SURVIVAL, {"OS": "24.1", "STATUS": "event"}, [24, 0]),  # censored when follow-up ends
        (MULTI_TARGET, {"KRAS": "mut", "CMS": ""}, [1, -1]),
        (MULTI_TARGET, {"KRAS": "WT", "CMS": "4"}, [0, 3]),
    ],
)
def test_targets(config: dict[str, Any], row: dict[str, str], target: list[float]) -> None:
    assert task(config).target(row | {"another": "x"}) == target
    assert set(task(config).columns) == row.keys()


@pytest.mark.parametrize(
    ("config", "row", "code"),
    [
        (CLASSIFICATION, {"MSI": "  "}, "MS-B050"),
        (CLASSIFICATION, {"MSI": "MSIH"}, "MS-B051"),
        (CLASSIFICATION, {"MSI": "msi-h"}, "MS-B051"),
        (REGRESSION, {"TMB": ""}, "MS-B050"),
        (REGRESSION, {"TMB": "12,5"}, "MS-B052"),
        (REGRESSION, {"TMB": "nan"}, "MS-B052"),
        (REGRESSION, {"TMB": "inf"}, "MS-B052"),
        (REGRESSION, {"TMB": "1_0"}, "MS-B052"),
        (REGRESSION, {"TMB": "\uff11\uff12"}, "MS-B052"),
        (REGRESSION, {"TMB": "201"}, "MS-B053"),
        (SURVIVAL, {"OS": "3", "STATUS": ""}, "MS-B050"),
        (SURVIVAL, {"OS": "", "STATUS": "dead"}, "MS-B050"),
        (SURVIVAL, {"OS": "three", "STATUS": "dead"}, "MS-B052"),
        (SURVIVAL, {"OS": "-1", "STATUS": "dead"}, "MS-B054"),
        (SURVIVAL, {"OS": "3", "STATUS": "2"}, "MS-B055"),
        (MULTI_TARGET, {"KRAS": "", "CMS": " "}, "MS-B050"),
        (MULTI_TARGET, {"KRAS": "G12C", "CMS": "1"}, "MS-B051"),
    ],
)
def test_rows_that_break_a_rule(config: dict[str, Any], row: dict[str, str], code: str) -> None:
    with pytest.raises(DataError) as caught:
        task(config).target(row)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "config",
    [
        CLASSIFICATION | {"categories": ["MSS"]},
        CLASSIFICATION | {"categories": ["MSS", "MSS"]},
        CLASSIFICATION | {"categories": ["micro", "macro"]},
        MULTI_TARGET | {"targets": [{"label": "GROWTH", "categories": ["micro", "macro"]}]},
        CLASSIFICATION | {"categories": ["MSS", " MSI-H"]},
        REGRESSION | {"maximum": 0},
        SURVIVAL | {"censored_after": 0},
        SURVIVAL | {"unit": "moons"},
        MULTI_TARGET | {"targets": [MULTI_TARGET["targets"][0]] * 2},
    ],
)
def test_configs_that_cannot_be(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        task(config)


def three_sites() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Logits [n, 3] and targets [n, 1] of sites of other sizes and mixes; one lacks a category."""
    generator = torch.Generator().manual_seed(0)
    sites = []
    for size, shares in ((40, (0.8, 0.15, 0.05)), (13, (0.1, 0.1, 0.8)), (7, (0.5, 0.5, 0.0))):
        truth = torch.multinomial(torch.tensor(shares), size, replacement=True, generator=generator)
        logits = torch.randn(size, 3, generator=generator) + 1.5 * torch.eye(3)[truth]
        sites.append((logits, truth[:, None].float()))
    return sites


THREE = CLASSIFICATION | {"categories": ["a", "b", "c"]}


def agreed(config: Mapping[str, Any], targets: list[torch.Tensor]) -> Task:
    made = task(config)
    made.agree(add_counts(made.statistics(part) for part in targets))
    return made


def test_the_weighted_loss_of_three_sites_is_that_of_their_patients_pooled() -> None:
    """The weights are normalised by their sum over all sites' patients, as torch does in a batch."""
    sites = three_sites()
    made = agreed(THREE, [targets for _, targets in sites])
    logits, targets = (torch.cat(parts) for parts in zip(*sites, strict=True))
    counts = torch.bincount(targets[:, 0].long())
    expected = cross_entropy(logits, targets[:, 0].long(), weight=1 / counts, reduction="mean")
    shares = [made.loss(*site) * len(site[0]) / len(logits) for site in sites]
    torch.testing.assert_close(sum(shares), expected)
    one = [made.loss(logits[index, None], targets[index, None]) for index in range(len(logits))]
    torch.testing.assert_close(torch.stack(one).mean(), expected)
    unweighted = cross_entropy(sites[0][0], sites[0][1][:, 0].long())
    torch.testing.assert_close(task(THREE).loss(*sites[0]), unweighted)


def test_classification_metrics_are_those_of_scikit_learn() -> None:
    logits, targets = three_sites()[0]
    logits = (2 * logits).round() / 2  # with ties
    made = task(THREE)
    probabilities = made.predict(logits)
    metrics = made.metrics(made.count(probabilities, targets))
    truth = targets[:, 0].numpy()
    for index, name in enumerate("abc"):
        hit, score = truth == index, probabilities[:, index].numpy()
        assert metrics[f"auroc_{name}"] == pytest.approx(roc_auc_score(hit, score))
        assert metrics[f"auprc_{name}"] == pytest.approx(average_precision_score(hit, score))
        said = probabilities.argmax(dim=1).numpy() == index
        assert metrics[f"f1_{name}"] == pytest.approx(f1_score(hit, said))
        assert metrics[f"support_{name}"] == hit.sum()
    assert metrics["f1_macro"] == pytest.approx(np.mean([metrics[f"f1_{name}"] for name in "abc"]))
    assert tuple(metrics) == made.reported


def test_a_category_that_no_patient_has_is_not_judged() -> None:
    logits, targets = three_sites()[2]
    made = task(THREE)
    metrics = made.metrics(made.count(made.predict(logits), targets))
    assert metrics["support_c"] == 0
    assert {metrics[f"{name}_c"] for name in ("auroc", "auprc", "f1")} == {None}
    assert metrics["f1_macro"] == pytest.approx((metrics["f1_a"] + metrics["f1_b"]) / 2)


def test_ranks_are_compared_within_a_site() -> None:
    sites, made = three_sites(), task(THREE)
    counts = [made.count(made.predict(logits), targets) for logits, targets in sites]
    metrics = made.metrics(add_counts(counts))
    own = [made.metrics(part) for part in counts]
    positives = [float((targets == 0).sum()) for _, targets in sites]
    expected = np.average([site["auprc_a"] for site in own], weights=positives)
    assert metrics["auprc_a"] == pytest.approx(expected)


def test_multi_target_loss_and_metrics_are_those_of_each_label() -> None:
    generator = torch.Generator().manual_seed(3)
    first = torch.randint(2, (30,), generator=generator).float()
    second = torch.randint(4, (30,), generator=generator).float()
    first[:7] = -1
    targets, output = torch.stack([first, second], dim=1), torch.randn(30, 6, generator=generator)
    made = agreed(MULTI_TARGET, [targets[:20], targets[20:]])
    assert (made.groups, made.outputs) == ((2, 4), 6)
    parts = {"KRAS": output[7:, :2], "CMS": output[:, 2:]}
    truths = {"KRAS": first[7:, None], "CMS": second[:, None]}
    metrics = made.metrics(made.count(made.predict(output), targets))
    expected = []
    for target in MULTI_TARGET["targets"]:
        label = str(target["label"])
        alone = agreed({**CLASSIFICATION, **target}, [truths[label]])
        expected.append(alone.loss(parts[label], truths[label]))
        own = alone.metrics(alone.count(alone.predict(parts[label]), truths[label]))
        assert {f"{name}.{label}": value for name, value in own.items()}.items() <= metrics.items()
    torch.testing.assert_close(made.loss(output, targets), torch.stack(expected).mean())
    assert tuple(metrics) == made.reported
    nobody = torch.tensor([[-1.0, 2.0]])
    assert torch.isfinite(made.loss(output[:1], nobody))
    assert made.metrics(made.count(made.predict(output[:1]), nobody))["auroc_macro.KRAS"] is None


def test_regression_metrics_are_those_of_scikit_learn_over_all_sites() -> None:
    generator = torch.Generator().manual_seed(4)
    truth = 190 + 3 * torch.randn(50, generator=generator)
    said = truth + torch.randn(50, generator=generator)
    made = task(REGRESSION)
    counts = add_counts(made.count(said[part], truth[part, None]) for part in (slice(0, 33), slice(33, 50)))
    metrics = made.metrics(counts)
    assert metrics["r2"] == pytest.approx(r2_score(truth, said))
    assert metrics["pearson"] == pytest.approx(np.corrcoef(truth, said)[0, 1])
    assert metrics["mae"] == pytest.approx(float((truth - said).abs().mean()), rel=1e-5)
    assert metrics["rmse"] == pytest.approx(float((truth - said).square().mean().sqrt()), rel=1e-5)
    assert tuple(metrics) == made.reported
    one = made.metrics(made.count(said[:1], truth[:1, None]))
    assert (one["r2"], one["pearson"]) == (None, None)
    equal = made.metrics(made.count(torch.full((9,), 3.3), torch.full((9, 1), 7.7)))
    assert (equal["r2"], equal["pearson"]) == (None, None)


def test_regression_has_one_scale_at_every_site() -> None:
    sites = [torch.tensor([[10.0], [30.0]]), torch.tensor([[50.0], [70.0], [90.0]])]
    made, pooled = agreed(REGRESSION, sites), torch.cat(sites)
    output = pooled + 4

    class Zero(nn.Module):
        def forward(self, bag: object) -> torch.Tensor:
            return torch.zeros(1, 1)

    finished = made.finish(Zero())
    torch.testing.assert_close(finished({}), pooled.mean().reshape(1, 1))
    standardised = smooth_l1_loss(output / pooled.std(), pooled / pooled.std())
    torch.testing.assert_close(made.loss(output, pooled), standardised)
    before = {name: value.shape for name, value in task(REGRESSION).finish(Zero()).state_dict().items()}
    assert before == {name: value.shape for name, value in finished.state_dict().items()}
    l1 = agreed(REGRESSION | {"loss": "l1"}, sites)
    torch.testing.assert_close(l1.loss(output, pooled), 4 / pooled.std())


def cohort(seed: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Log risks [n] and targets [n, 2], times in whole months."""
    generator = torch.Generator().manual_seed(seed)
    log_risk = torch.randn(count, generator=generator)
    time = (-9 * torch.rand(count, generator=generator).log() / log_risk.exp()).ceil().clamp(1, 24)
    event = (torch.rand(count, generator=generator) < 0.75) & (time < 24)
    return (4 * log_risk).round() / 4, torch.stack([time, event.float()], dim=1)


@pytest.fixture
def lifelines() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own dependencies
        module = pytest.importorskip("lifelines")
        pytest.importorskip("lifelines.statistics")
        pytest.importorskip("lifelines.utils")
    return module


def test_the_c_index_is_that_of_lifelines(lifelines: Any) -> None:
    made, sites = task(SURVIVAL), [cohort(5, 70), cohort(6, 40)]
    counts = [made.count(*site) for site in sites]
    pairs = 0.0
    for (log_risk, targets), part in zip(sites, counts, strict=True):
        expected = lifelines.utils.concordance_index(targets[:, 0], -log_risk, targets[:, 1])
        assert made.metrics(part)["c_index"] == pytest.approx(expected, abs=1e-12)
        pairs += expected * part["comparable"][0]
    summed = add_counts(counts)
    assert made.metrics(summed)["c_index"] == pytest.approx(pairs / summed["comparable"][0])


def test_curves_and_log_rank_are_those_of_lifelines_over_all_sites(lifelines: Any) -> None:
    made, sites = task(SURVIVAL), [cohort(7, 70), cohort(8, 40), cohort(9, 5)]
    metrics = made.metrics(add_counts(made.count(*site) for site in sites))
    log_risk, targets = (torch.cat(parts) for parts in zip(*sites, strict=True))
    cut_off = metrics["risk_cut_off"]
    assert cut_off in CUT_OFFS
    assert abs(float((log_risk > cut_off).float().mean()) - 0.5) < 0.15
    time, event, high = targets[:, 0].numpy(), targets[:, 1].numpy(), (log_risk > cut_off).numpy()
    test = lifelines.statistics.logrank_test(time[high], time[~high], event[high], event[~high])
    assert metrics["log_rank_chi2"] == pytest.approx(test.test_statistic)
    assert metrics["log_rank_p"] == pytest.approx(test.p_value)
    groups = RiskGroups.of(add_counts(made.count(*site) for site in sites))
    for group, chosen in enumerate((~high, high)):
        fitted = lifelines.KaplanMeierFitter().fit(time[chosen], event[chosen])
        expected = fitted.survival_function_at_times(range(1, 25)).to_numpy()
        np.testing.assert_allclose(groups.survival()[group], expected)
    assert metrics["survival_high_risk"] == groups.survival()[1, -1] < metrics["survival_low_risk"]
    assert metrics["events"] == event.sum()
    assert tuple(metrics) == made.reported


def test_survival_of_one_patient_and_of_one_risk() -> None:
    made = task(SURVIVAL)
    one = made.metrics(made.count(torch.zeros(1), torch.tensor([[3.0, 0.0]])))
    assert (one["c_index"], one["cox_loss"], one["log_rank_p"]) == (None, None, None)
    alike = made.metrics(made.count(torch.full((4,), 0.5), torch.tensor([[3.0, 1.0]] * 4)))
    assert (alike["survival_low_risk"], alike["survival_high_risk"]) in {(0.0, None), (None, 0.0)}
    assert alike["log_rank_chi2"] is None


@pytest.mark.parametrize("end", [0.1, 24.0, 60.3])
def test_times_at_the_end_of_follow_up_are_in_the_last_interval(end: float) -> None:
    made = task(SURVIVAL | {"censored_after": end})
    targets = torch.tensor([made.target({"OS": str(end), "STATUS": "1"}), [0.0, 0.0]])
    assert made.count(torch.zeros(2), targets)["deaths"] == [0.0] * 23 + [1.0]


def test_risks_beyond_all_cut_offs_are_counted() -> None:
    counts = exit_counts(np.array([-99.0, 99.0]), np.array([0, 1]), np.array([1, 0]), 2)
    assert counts["events"][0] == counts["censored"][-1] == sum(counts["events"]) == sum(counts["censored"])


def test_survival_weighs_sites_by_events() -> None:
    assert task(SURVIVAL).statistics(cohort(1, 12)[1])["events"] == [float(cohort(1, 12)[1][:, 1].sum())]


def test_strata() -> None:
    assert [task(CLASSIFICATION).stratum([place]) for place in (0, 1)] == ["MSS", "MSI-H"]
    assert [task(SURVIVAL).stratum([3, event]) for event in (0, 1)] == ["censored", "event"]
    assert len({task(REGRESSION).stratum([value]) for value in (0, 66, 67, 134, 200)}) == 3
    assert [task(MULTI_TARGET).stratum([place, 1]) for place in (-1, 1)] == ["unknown", "mut"]


@pytest.mark.parametrize("config", [CLASSIFICATION, REGRESSION, SURVIVAL, MULTI_TARGET])
def test_columns_of_predictions(config: dict[str, Any]) -> None:
    made = task(config)
    predictions = made.predict(torch.randn(5, made.outputs)).reshape(5, -1)
    assert len(made.prediction_columns()) == predictions.shape[1]


def test_clam_needs_categories() -> None:
    adapter: TypeAdapter[TaskConfig] = TypeAdapter(TaskConfig)
    assert misfit(ClamModel(), adapter.validate_python(CLASSIFICATION)) is None
    assert "abmil" in str(misfit(ClamModel(), adapter.validate_python(SURVIVAL)))
