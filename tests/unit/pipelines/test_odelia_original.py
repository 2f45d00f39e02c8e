"""Both breasts in one volume: labels by side, losses and counts by breast, flips that swap sides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError
from torch.nn.functional import cross_entropy

from mediswarm.aggregation.reference import ReferenceRun
from mediswarm.data.synthetic_odelia import SyntheticSite, write_synthetic_original
from mediswarm.errors import ArtefactError, DataError
from mediswarm.evaluation.predictions import read_predictions
from mediswarm.pipelines import Site, load_pipeline
from mediswarm.pipelines.odelia import Odelia, OdeliaConfig
from mediswarm.preflight.pipeline_contract import check_pipeline
from mediswarm.spec import Job, load_job
from mediswarm.spec.catalogue import JOBS
from mediswarm.training.artefact import architecture_of, load_artefact
from mediswarm.training.footprint import estimate_step
from mediswarm.training.site_run import initial_weights

SITES = ("north", "south")
CLASSES = ("none", "benign", "malignant")
SMALL = {"laterality": "original", "input_size": [40, 16, 8], "backbone": {"name": "cnn3d", "width": 4}}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for number, name in enumerate(SITES):
        site = SyntheticSite(name, (4, 3, 3), (2, 2, 2), (2, 1, 1), noise=0.3, gain=200.0)
        write_synthetic_original(tmp_path / "data", site, seed=number)
    return tmp_path / "data"


@pytest.fixture
def pipeline() -> Odelia:
    return original()


def original(**config: Any) -> Odelia:
    return Odelia(OdeliaConfig.model_validate(SMALL | config))


def job(folder: Path, **config: Any) -> Job:
    document = yaml.safe_load((JOBS / "odelia_demo" / "job.yml").read_text(encoding="utf-8"))
    document["config"] = SMALL | config
    document["training"] |= {"local": {"epochs": 1}, "batch_size": 3}
    document["workflow"] = {"name": "fedavg", "rounds": 1}
    (folder / "odelia_demo").mkdir()
    (folder / "odelia_demo" / "job.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return load_job(folder / "odelia_demo")


def annotation(data: Path) -> Path:
    return data / "north" / "metadata" / "annotation.csv"


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


# -- data --------------------------------------------------------------------------------------------


def test_a_case_has_a_label_for_each_side_whatever_the_order_of_the_columns(
    pipeline: Odelia, data: Path
) -> None:
    table = [line.split(",") for line in annotation(data).read_text().splitlines()]
    annotation(data).write_text("".join(",".join(reversed(row)) + "\n" for row in table))
    label = {row[0]: [int(row[3]), int(row[4])] for row in table[1:]}
    found = pipeline.data(Site("north", data))
    assert [len(cases) for cases in (found.train, found.validation, found.test)] == [5, 3, 2]
    for cases in (found.train, found.validation, found.test):
        expected = [label[uid] for uid in cases.ids]
        assert pipeline.targets(cases).tolist() == expected
        assert [cases.dataset[index][1].tolist() for index in range(len(cases))] == expected
    assert found.train.dataset[0][0].shape == (1, 64, 32, 16)
    assert found.test.dataset[0][0].shape == (1, 40, 16, 8)
    # the weights of the classes follow from both sides together
    assert pipeline.statistics(found) == {"class_counts": [4.0, 3.0, 3.0]}


def test_sound_tables_pass_with_counts_of_breasts(pipeline: Odelia, data: Path) -> None:
    found = pipeline.check(Site("north", data))
    assert {finding.status for finding in found} == {"PASS"}
    messages = [finding.message for finding in found]
    assert "train: 4 none, 3 benign, 3 malignant" in messages
    assert "10 cases of 10 patients in fold 0; no patient in two splits" in messages


def first_label(data: Path, side: int, value: str) -> None:
    lines = annotation(data).read_text().splitlines()
    cells = lines[1].split(",")
    cells[3 + side] = value
    annotation(data).write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]) + "\n")


@pytest.mark.parametrize(
    ("value", "code", "says"),
    [
        ("", "MS-D105", "{} is empty in 1 row"),
        ("3", "MS-D116", "{} is '3' in 1 row; the job declares 0 = none, 1 = benign, 2 = malignant"),
    ],
)
@pytest.mark.parametrize("side", [0, 1])
def test_a_label_of_either_side_is_checked(
    pipeline: Odelia, data: Path, side: int, value: str, code: str, says: str
) -> None:
    first_label(data, side, value)
    with pytest.raises(DataError) as caught:
        pipeline.data(Site("north", data))
    assert caught.value.code == code
    assert says.format(("Lesion_Left", "Lesion_Right")[side]) in caught.value.message
    assert caught.value.place.endswith("metadata/annotation.csv:2")


def test_a_patient_in_two_splits_is_refused(pipeline: Odelia, data: Path) -> None:
    edit(annotation(data), "north-0010,north-0010", "north-0010,north-0001")
    with pytest.raises(DataError) as caught:
        pipeline.data(Site("north", data))
    assert caught.value.code == "MS-D110"


def test_the_folders_of_the_other_laterality_do_not_serve(pipeline: Odelia, data: Path) -> None:
    (data / "north" / "data").rename(data / "north" / "data_unilateral")
    with pytest.raises(DataError) as caught:
        pipeline.data(Site("north", data))
    assert caught.value.code == "MS-D002"
    assert "<SITE>/data/<UID>/" in caught.value.repair
    (data / "north" / "metadata").rename(data / "north" / "metadata_unilateral")
    with pytest.raises(DataError) as caught:
        Odelia(OdeliaConfig()).data(Site("north", data))
    assert (caught.value.code, "lacks 'Lesion'" in caught.value.message) == ("MS-D102", True)


def test_manifests_of_single_breasts_say_nothing_of_both(pipeline: Odelia, data: Path) -> None:
    plain = pipeline.data(Site("north", data)).measured
    (data / "north" / "manifests").mkdir()
    (data / "north" / "manifests" / "other.json").write_text(
        '{"case": "other", "preprocessing": "odelia/1", "mediswarm": "1", "parameters": {}, "inputs": {}, '
        '"other_files": 0, "breasts": {"other_left": {"files": {}, "covered": 1, "percentile_99_5": 1, '
        '"mean": 0, "deviation": 1}}}'
    )
    assert pipeline.data(Site("north", data)).measured == plain
    found = pipeline.check(Site("north", data))
    assert {finding.status for finding in found} == {"PASS"}
    assert "preprocessing" not in {finding.subject for finding in found}


# -- loss, counts, augmentation -------------------------------------------------------------------


@pytest.mark.parametrize("head", ["softmax", "ordinal"])
def test_loss_and_counts_are_those_of_the_single_breasts(head: str) -> None:
    both = original(head=head)
    single = Odelia(OdeliaConfig.model_validate({**SMALL, "laterality": "unilateral", "head": head}))
    for pipeline in (both, single):
        pipeline.agree({"class_counts": [60.0, 30.0, 10.0]})
    output = torch.randn(6, both.outputs, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([[0, 2], [1, 0], [0, 0], [2, 1], [0, 1], [2, 0]])
    breasts, labels = output.reshape(12, single.outputs), target.reshape(12)
    left, right = output[:, : single.outputs], output[:, single.outputs :]
    mean = (single.loss(left, target[:, 0]) + single.loss(right, target[:, 1])) / 2
    torch.testing.assert_close(both.loss(output, target), mean)
    predicted = both.predict(output)
    torch.testing.assert_close(predicted[:, 0], single.predict(left))
    torch.testing.assert_close(predicted[:, 1], single.predict(right))
    assert both.count(predicted, target) == single.count(single.predict(breasts), labels)
    assert both.count(predicted, target)["cases"] == [12.0]


def test_the_loss_is_weighted_by_the_class_of_each_breast(pipeline: Odelia) -> None:
    pipeline.agree({"class_counts": [60.0, 30.0, 10.0]})
    output = torch.randn(1, 6, generator=torch.Generator().manual_seed(0))
    plain = cross_entropy(output.view(2, 3), torch.tensor([2, 0]), reduction="none")
    expected = (plain[0] * 100 / 30 + plain[1] * 100 / 180) / 2
    torch.testing.assert_close(pipeline.loss(output, torch.tensor([[2, 0]])), expected)


def test_a_flipped_volume_swaps_its_labels_and_a_turned_one_keeps_them() -> None:
    """In every volume the bright breast is the malignant one, before and after; turned as far as may be."""
    pipeline = original(augmentation={"rotation_degrees": 45, "noise_std": 0.1})
    volumes = torch.zeros(400, 1, 48, 20, 8)
    volumes[0::2, :, 8:16, 8:12, 2:6] = 5.0
    volumes[1::2, :, 32:40, 8:12, 2:6] = 5.0
    targets = torch.tensor([[2, 0], [0, 2]]).repeat(200, 1)
    before = targets.clone()
    changed, answers = pipeline.augment(volumes, targets, torch.Generator().manual_seed(0))
    left, right = (half.flatten(1).sum(dim=1) for half in changed.chunk(2, dim=2))
    bright = torch.stack([left, right], dim=1).argmax(dim=1)
    assert torch.equal(answers.argmax(dim=1), bright)
    assert 60 < int((answers != before).any(dim=1).sum()) < 140  # half are not turned, of them half flipped
    assert torch.equal(targets, before)


# -- config ------------------------------------------------------------------------------------------


def test_the_usual_size_and_turn_follow_the_laterality() -> None:
    config = OdeliaConfig(laterality="original")
    assert (config.input_size, config.augmentation.rotation_degrees) == ((448, 224, 32), 15)
    config = OdeliaConfig()
    assert (config.input_size, config.augmentation.rotation_degrees) == ((224, 224, 32), 90)


def test_a_turn_that_mixes_up_the_sides_is_refused() -> None:
    with pytest.raises(ValidationError, match="more than 45 degrees, a left breast"):
        original(augmentation={"rotation_degrees": 46})
    # nobody wrote 90
    with pytest.raises(ValidationError, match="90, the default of the section augmentation; turned"):
        original(augmentation={"noise_std": 0.1})


def test_the_shipped_job_is_valid() -> None:
    pipeline = load_pipeline(load_job(JOBS / "ODELIA_original"))
    assert isinstance(pipeline, Odelia)
    assert (pipeline.outputs, pipeline.contract()["input_shape"]) == (6, [1, 448, 224, 32])


# -- a run ---------------------------------------------------------------------------------------------


def test_a_federated_run_judges_breasts_and_its_model_fits_no_other_laterality(
    data: Path, tmp_path: Path
) -> None:
    here = job(tmp_path)
    run = ReferenceRun(here, [Site(name, data) for name in SITES], tmp_path / "run")
    record = run.run()
    assert record["state"] == "succeeded"
    assert record["rounds"][0]["contributed"] == list(SITES)
    pipeline = load_pipeline(here)
    assert isinstance(pipeline, Odelia)
    site = run.sites["north"]
    assert site.data is not None
    cases = site.data.validation
    table = read_predictions(tmp_path / "run" / "sites" / "north" / "predictions" / "validation.csv", CLASSES)
    assert table.cases == tuple(f"{uid}_{side}" for uid in cases.ids for side in ("left", "right"))
    assert table.targets.tolist() == pipeline.targets(cases).ravel().tolist()
    assert site.learner is not None
    # of the predictions file, as of the last model that was judged
    expected = site.learner.predict(cases).outputs.reshape(-1, 3).numpy()
    np.testing.assert_allclose(table.probabilities, expected, atol=1e-6)

    weights, _, kind = initial_weights(here, pipeline, {})
    load_artefact(tmp_path / "run" / "last", here, pipeline.contract(), architecture_of(weights, kind))
    other = Odelia(OdeliaConfig.model_validate({**SMALL, "laterality": "unilateral"}))
    other_job = here.varied(config={**SMALL, "laterality": "unilateral"})
    other_weights, _, kind = initial_weights(other_job, other, {})
    for wanted, contract, architecture, differs in (
        (other_job, pipeline.contract(), architecture_of(weights, kind), "config"),
        (here, other.contract(), architecture_of(weights, kind), "contract"),
        (here, pipeline.contract(), architecture_of(other_weights, kind), "architecture"),
    ):
        with pytest.raises(ArtefactError, match=f"checkpoint's {differs} is") as caught:
            load_artefact(tmp_path / "run" / "last", wanted, contract, architecture)
        assert caught.value.code == "MS-A002"


def test_the_pipeline_keeps_every_rule_of_the_interface(data: Path, tmp_path: Path) -> None:
    findings = check_pipeline(job(tmp_path, head="ordinal", batch_norm="group"), data)
    assert [finding for finding in findings if finding.status != "PASS"] == []


def test_a_training_step_can_be_estimated(tmp_path: Path) -> None:
    here = job(tmp_path)
    assert estimate_step(here, load_pipeline(here), "cpu").batch_size == 3


def test_the_left_breast_of_the_synthetic_volumes_comes_first(data: Path) -> None:
    """What the labels of a case say is at the left is at the low end of x, in a volume without noise."""
    clean = SyntheticSite("clean", (20, 0, 20), (2, 0, 0), (0, 0, 0), noise=0.0, gain=1000.0)
    write_synthetic_original(data, clean, seed=5)
    table = [line.split(",") for line in (data / "clean/metadata/annotation.csv").read_text().splitlines()]
    rows = [row for row in table[1:] if row[3] != row[4]]
    differences = []
    for uid, _, _, left, right in rows:
        volume = nibabel.load(data / "clean" / "data" / uid / "Sub_1.nii.gz").get_fdata()
        halves = [half.mean() for half in np.split(volume, 2)]
        differences.append((halves[0] - halves[1]) * (1 if int(left) > int(right) else -1))
    assert len(differences) > 5
    assert np.mean(differences) > 0
