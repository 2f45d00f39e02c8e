"""The tabular pipeline: every rule on a real CSV file, standardisation, splits, training."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import mediswarm
from mediswarm.errors import DataError, JobError
from mediswarm.pipelines import Site, add_counts
from mediswarm.pipelines.find import load_pipeline
from mediswarm.pipelines.moments import mean_and_scale, moment_counts
from mediswarm.pipelines.tabular import Tabular
from mediswarm.pipelines.tabular.splits import draw_splits
from mediswarm.preflight.pipeline_contract import check_pipeline
from mediswarm.spec import load_job

JOB = Path(mediswarm.__file__).parents[1] / "jobs" / "tabular_heart_disease"
COLUMNS = [
    {"type": "numeric", "name": "age", "unit": "years", "range": [0, 120]},
    {"type": "categorical", "name": "smoking", "categories": ["never", "former", "current"]},
    {"type": "numeric", "name": "hba1c", "unit": "%", "range": [3, 20], "missing": "impute"},
]
CONFIG: dict[str, Any] = {
    "columns": COLUMNS,
    "label": {
        "column": "outcome",
        "classes": [{"name": "healthy", "codes": ["0"]}, {"name": "ill", "codes": ["1", "2"]}],
    },
    "id": "case",
    "patient": "patient",
    "split": {"column": "split"},
}
HEADER = ["case", "patient", "age", "smoking", "hba1c", "outcome", "split"]


def rows(count: int = 30, seed: int = 0) -> list[list[str]]:
    random = np.random.default_rng(seed)
    made = []
    for index in range(count):
        ill = index % 3 == 0
        made.append(
            [
                f"c{index}",
                f"p{index}",
                f"{random.normal(70 if ill else 45, 6):.1f}",
                ("never", "former", "current")[int(random.integers(3))],
                f"{random.normal(7.5 if ill else 5.4, 0.4):.2f}",
                ("1" if index % 2 else "2") if ill else "0",
                ("train", "train", "validation", "test")[index // 3 % 4],
            ]
        )
    return made


def write(folder: Path, body: list[list[str]], site: str = "A", header: list[str] = HEADER) -> Site:
    file = folder / site / "data.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *body])
    return Site(site, folder)


def tabular(**changes: Any) -> Tabular:
    return Tabular(Tabular.Config.model_validate(CONFIG | changes))


def change(body: list[list[str]], row: int, column: str, value: str) -> list[list[str]]:
    body[row][HEADER.index(column)] = value
    return body


BROKEN = [
    ("not a number", lambda body: change(body, 1, "age", "old"), "MS-D202", "data.csv:3", "number"),
    ("infinite", lambda body: change(body, 1, "age", "inf"), "MS-D202", "data.csv:3", "number"),
    ("decimal comma", lambda body: change(body, 2, "age", "61,5"), "MS-D202", "data.csv:4", "decimal point"),
    ("out of range", lambda body: change(body, 0, "age", "1962"), "MS-D203", "data.csv:2", "source"),
    (
        "unknown category",
        lambda body: change(body, 4, "smoking", "Never"),
        "MS-D205",
        "data.csv:6",
        "'never'",
    ),
    ("missing number", lambda body: change(body, 5, "age", ""), "MS-D206", "data.csv:7", "Fill in"),
    ("missing category", lambda body: change(body, 5, "smoking", ""), "MS-D206", "data.csv:7", "Fill in"),
    (
        "label not declared",
        lambda body: change(body, 3, "outcome", "3"),
        "MS-D207",
        "data.csv:5",
        "ill: '1', '2'",
    ),
    (
        "label missing",
        lambda body: change(body, 3, "outcome", ""),
        "MS-D207",
        "data.csv:5",
        "Code the labels",
    ),
    ("id twice", lambda body: change(body, 9, "case", "c2"), "MS-D208", "data.csv:4", "id of its own"),
    ("id missing", lambda body: change(body, 9, "case", ""), "MS-D208", "data.csv:11", "Fill in"),
    ("patient missing", lambda body: change(body, 9, "patient", ""), "MS-D208", "data.csv:11", "Fill in"),
    ("no such split", lambda body: change(body, 6, "split", "dev"), "MS-D209", "data.csv:8", "'validation'"),
    (
        "D1: patient in two splits",
        lambda body: change(body, 6, "patient", "p0"),
        "MS-D210",
        "data.csv:2",
        "same split",
    ),
    (
        "no training rows",
        lambda body: [r for r in body if r[-1] != "train"],
        "MS-D003",
        "data.csv",
        "training",
    ),
]


@pytest.mark.parametrize(
    ("what", "broken", "code", "place", "repair"), BROKEN, ids=[case[0] for case in BROKEN]
)
def test_a_broken_table_is_refused_with_place_and_repair(tmp_path, what, broken, code, place, repair):
    site = write(tmp_path, broken(rows()))
    with pytest.raises(DataError) as caught:
        tabular().data(site)
    assert caught.value.code == code
    assert caught.value.place.endswith(place)
    assert repair in caught.value.repair
    assert "c2" not in caught.value.message
    failed = [finding for finding in tabular().check(site) if finding.status == "FAIL"]
    assert [finding.code for finding in failed] == [code]


def test_columns_must_be_those_declared(tmp_path):
    extra = write(tmp_path, [[*row, "x"] for row in rows()], header=[*HEADER, "name"])
    with pytest.raises(DataError, match="does not declare: 'name'") as caught:
        tabular().data(extra)
    assert caught.value.code == "MS-D201"
    assert "`ignore`" in caught.value.repair
    assert len(tabular(ignore=["name"]).data(extra).train)
    lacking = write(tmp_path, [row[1:] for row in rows()], site="B", header=HEADER[1:])
    with pytest.raises(DataError, match="lacks 'case'"):
        tabular().data(lacking)


def test_a_column_in_another_unit_is_named_as_such(tmp_path):
    body = rows()
    for row in body:
        row[HEADER.index("hba1c")] = f"{10.93 * float(row[HEADER.index('hba1c')]) - 23.5:.0f}"  # mmol/mol
    with pytest.raises(DataError, match="most values of 'hba1c' lie outside") as caught:
        tabular().data(write(tmp_path, body))
    assert caught.value.code == "MS-D204"
    assert "'%'" in caught.value.repair


def test_every_broken_rule_is_found_at_once(tmp_path):
    body = change(change(change(rows(), 1, "age", "old"), 4, "smoking", "x"), 3, "outcome", "9")
    found = tabular().check(write(tmp_path, body))
    assert {finding.code for finding in found} == {"MS-D202", "MS-D205", "MS-D207"}
    assert found[0].cases == ("c1",)
    with pytest.raises(DataError, match="and 2 more failed checks"):
        tabular().data(Site("A", tmp_path))


def test_repeated_rows_are_a_warning_with_counts(tmp_path):
    body = rows()
    for copy_of in (0, 1):
        body.append([f"again{copy_of}", f"q{copy_of}", *body[copy_of][2:-1], "test"])
    found = {finding.code: finding for finding in tabular().check(write(tmp_path, body))}
    assert found["MS-D211"].status == "WARN"
    assert "2 rows repeat" in found["MS-D211"].message
    assert "2 groups of equal rows lie in more than one" in found["MS-D211"].message


def test_imputation_is_declared_counted_and_neutral(tmp_path):
    body = change(change(rows(), 1, "hba1c", ""), 3, "hba1c", "")
    pipeline = tabular()
    site = write(tmp_path, body)
    found = {finding.code: finding for finding in pipeline.check(site)}
    assert found["MS-D212"].status == "WARN"
    assert (
        "2 cells in column 'hba1c' are empty and will be replaced by the agreed mean"
        in found["MS-D212"].message
    )
    data = pipeline.data(site)
    pipeline.agree(pipeline.statistics(data))
    model = pipeline.model()
    inputs = data.train.dataset.tensors[0]
    assert torch.equal(inputs.isnan().any(dim=0), torch.tensor([False, False, False, True]))
    assert torch.isfinite(model(inputs)).all()
    assert model.standardise(inputs)[inputs.isnan()].abs().sum() == 0
    present = inputs[:, 3][~inputs[:, 3].isnan()]
    assert model.standardise.mean[3] == pytest.approx(present.mean().item(), abs=1e-5)


def test_a_missing_category_is_a_category_of_its_own(tmp_path):
    columns = [COLUMNS[0], COLUMNS[1] | {"missing": "impute"}, COLUMNS[2]]
    site = write(tmp_path, change(rows(), 1, "smoking", ""))
    inputs = tabular(columns=columns).data(site).train.dataset.tensors[0]
    assert inputs.shape[1] == 5
    assert inputs[:, 3].sum() == 1


def test_one_category_is_the_reference(tmp_path):
    body = rows()
    inputs = tabular().data(write(tmp_path, body)).train.dataset.tensors[0]
    smoking = [row[HEADER.index("smoking")] for row in body if row[-1] == "train"]
    assert inputs[:, 1].tolist() == [float(value == "former") for value in smoking]
    assert inputs[:, 2].tolist() == [float(value == "current") for value in smoking]


def test_federated_moments_are_those_of_the_pooled_rows(tmp_path):
    pipeline = tabular()
    sites = [write(tmp_path, rows(40, seed), site=f"S{seed}") for seed in range(3)]
    data = [pipeline.data(site) for site in sites]
    statistics = [pipeline.statistics(item) for item in data]
    pipeline.agree(add_counts(statistics))
    pooled = torch.cat([item.train.dataset.tensors[0] for item in data])
    layer = pipeline.model().standardise
    torch.testing.assert_close(layer.mean, pooled.mean(dim=0))
    torch.testing.assert_close(layer.scale, pooled.std(dim=0))
    assert pipeline.local_parameters == ()
    assert all(len(values) <= pooled.shape[1] for values in statistics[0].values())


def test_moments_survive_a_large_offset():
    """A variance of 1 beside a mean of 1e7: unshifted float32 sums would lose it."""
    values = (
        torch.randn(1000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 1e7
    ).float()
    centre, reach = torch.tensor([1e7], dtype=torch.float64), torch.tensor([1e3], dtype=torch.float64)
    mean, scale = mean_and_scale(moment_counts(values, centre), centre, reach)
    assert mean.item() == pytest.approx(values.double().mean().item(), abs=1e-6)
    assert scale.item() == pytest.approx(values.double().std().item(), rel=1e-9)


def test_a_constant_feature_is_centred_and_not_blown_up():
    inputs = torch.tensor([[0.0], [0.0], [0.0]])
    centre, reach = torch.tensor([350.0], dtype=torch.float64), torch.tensor([350.0], dtype=torch.float64)
    mean, scale = mean_and_scale(moment_counts(inputs, centre), centre, reach)
    assert (mean.item(), scale.item()) == (0.0, 1.0)


def test_standardisation_by_site_stays_at_the_site(tmp_path):
    pipeline = tabular(standardise="site")
    data = pipeline.data(write(tmp_path, rows()))
    assert set(pipeline.statistics(data)) == {"class_counts"}
    assert pipeline.local_parameters == ("standardise.*",)
    model = pipeline.model()
    assert model.standardise.mean.abs().sum() == 0
    pipeline.localise(model, data)
    train = data.train.dataset.tensors[0]
    torch.testing.assert_close(model.standardise(train).mean(dim=0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(model.standardise(train).std(dim=0), torch.ones(4))


def test_the_binary_model_is_one_logit_against_the_reference_class(tmp_path):
    pipeline = tabular(class_weighting=False)
    data = pipeline.data(write(tmp_path, rows()))
    inputs, targets = data.train.dataset.tensors
    model = pipeline.model()
    assert model.layers[-1].weight.shape == (1, 4)
    logits = model(inputs.nan_to_num())
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 1], targets.float())
    torch.testing.assert_close(pipeline.loss(logits, targets), expected)


def test_hidden_layers_and_more_classes():
    classes = [{"name": name, "codes": [name]} for name in ("a", "b", "c")]
    pipeline = tabular(hidden=[8, 4], label={"column": "outcome", "classes": classes})
    assert pipeline.model()(torch.zeros(5, 4)).shape == (5, 3)
    assert pipeline.classes == ("a", "b", "c")


def test_drawn_splits_keep_patients_together_and_classes_in_proportion():
    patients = [f"p{index // 2}" for index in range(400)]
    targets = np.array([int(index // 2 % 4 == 0) for index in range(400)])
    splits = draw_splits(patients, targets, (0.7, 0.15, 0.15), seed=1)
    for patient in set(patients):
        assert len({split for split, who in zip(splits, patients, strict=True) if who == patient}) == 1
    for split, share in (("train", 0.7), ("validation", 0.15), ("test", 0.15)):
        chosen = splits == split
        assert chosen.mean() == pytest.approx(share, abs=0.01)
        assert targets[chosen].mean() == pytest.approx(0.25, abs=0.03)


def test_a_drawn_split_depends_on_the_seed_and_not_on_the_order_of_rows(tmp_path):
    body = [row[:-1] for row in rows(60)]

    def trained_on(site: str, table: list[list[str]], seed: int) -> set[str]:
        pipeline = tabular(split={"fractions": [0.6, 0.2, 0.2], "seed": seed})
        return set(pipeline.data(write(tmp_path, table, site, HEADER[:-1])).train.ids)

    first = trained_on("A", body, 3)
    assert len(first) == 36
    assert trained_on("B", body[::-1], 3) == first
    assert trained_on("C", body, 4) != first


def test_an_absent_class_is_legal_and_said(tmp_path):
    body = [row for row in rows(60) if row[HEADER.index("outcome")] == "0" or row[-1] != "validation"]
    found = {finding.subject: finding for finding in tabular().check(write(tmp_path, body))}
    assert found["validation rows"].status == "WARN"
    assert found["validation rows"].message.endswith("ill 0")
    assert found["train rows"].status == "PASS"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"columns": [{"type": "numeric", "name": "age", "unit": "a", "range": [9, 1]}]},
            "starts at or above",
        ),
        ({"columns": [COLUMNS[1] | {"categories": ["x", "x"]}]}, "a category twice"),
        ({"columns": [COLUMNS[1] | {"categories": ["x", ""]}]}, "use `missing`"),
        ({"columns": [COLUMNS[0], COLUMNS[0]]}, "declared for two uses"),
        ({"columns": [{"type": "numeric", "name": "age", "range": [0, 1]}]}, "unit"),
        ({"patient": "outcome"}, "declared for two uses"),
        ({"split": {"column": "split", "seed": 3}}, "drawn by fractions"),
        ({"split": {"fractions": [0.5, 0.2, 0.2]}}, "sum to 0.9"),
        (
            {
                "label": {
                    "column": "y",
                    "classes": [{"name": "a", "codes": ["1"]}, {"name": "b", "codes": ["1"]}],
                }
            },
            "twice",
        ),
    ],
)
def test_a_contradictory_declaration_is_refused(changes, said):
    with pytest.raises(ValidationError, match=said):
        tabular(**changes)


def test_a_wrong_declaration_is_shown_at_its_line(tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "job.yml").write_text(
        "name: study\npipeline: tabular\nconfig:\n  columns:\n"
        "    - {type: numeric, name: age, unit: years,\n       range: [9, 1]}\n"
        "  label: {column: y, classes: [{name: a, codes: ['0']}, {name: b, codes: ['1']}]}\n"
        "workflow: {name: fedavg, rounds: 1}\nselection: {metric: accuracy, mode: max}\n"
    )
    with pytest.raises(JobError, match=r"`config\.columns\.0`") as caught:
        load_pipeline(load_job(folder))
    assert (caught.value.code, caught.value.line) == ("MS-J009", 5)


def test_the_contract_names_columns_in_order_with_units():
    contract = tabular().contract()
    assert [column["name"] for column in contract["columns"]] == ["age", "smoking", "hba1c"]
    assert contract["columns"][2]["unit"] == "%"
    assert contract["classes"] == ["healthy", "ill"]
    other = [COLUMNS[0], COLUMNS[1], COLUMNS[2] | {"unit": "mmol/mol"}]
    assert tabular(columns=other).contract() != contract


def test_the_interface_is_kept(tmp_path):
    for site in "AB":
        write(tmp_path, change(rows(60, ord(site)), 0, "hba1c", ""), site)
    job = load_job(JOB).varied(config=CONFIG)
    assert {finding.status for finding in check_pipeline(job, tmp_path)} == {"PASS"}


def test_a_hundred_thousand_real_rows(real_data, tmp_path):
    table = real_data / "diabetes" / "diabetes_prediction_dataset.csv"
    if not table.is_file():
        pytest.skip("the diabetes table is not there")
    (tmp_path / "A").mkdir()
    (tmp_path / "A" / "data.csv").symlink_to(table)
    config = {
        "columns": [
            {"type": "categorical", "name": "gender", "categories": ["Female", "Male", "Other"]},
            {"type": "numeric", "name": "age", "unit": "years", "range": [0, 120]},
            {"type": "categorical", "name": "hypertension", "categories": ["0", "1"]},
            {"type": "categorical", "name": "heart_disease", "categories": ["0", "1"]},
            {
                "type": "categorical",
                "name": "smoking_history",
                "categories": ["never", "No Info", "current", "former", "ever", "not current"],
            },
            {"type": "numeric", "name": "bmi", "unit": "kg/m2", "range": [8, 120]},
            {"type": "numeric", "name": "HbA1c_level", "unit": "%", "range": [3, 20]},
            {"type": "numeric", "name": "blood_glucose_level", "unit": "mg/dL", "range": [20, 600]},
        ],
        "label": {
            "column": "diabetes",
            "classes": [{"name": "no", "codes": ["0"]}, {"name": "diabetes", "codes": ["1"]}],
        },
    }
    pipeline = Tabular(Tabular.Config.model_validate(config))
    found = {finding.code or finding.subject: finding for finding in pipeline.check(Site("A", tmp_path))}
    assert "3,854 rows repeat" in found["MS-D211"].message
    assert found["train rows"].message == "70,000 rows: no 64,050, diabetes 5,950"
