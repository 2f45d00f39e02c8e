"""The ODELIA pipeline on real files: what it reads, what it refuses, what it never changes."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from mediswarm.data.findings import Finding
from mediswarm.data.prepare.manifest import Manifest, PreparedBreast
from mediswarm.data.synthetic_odelia import SyntheticSite, write_synthetic_odelia
from mediswarm.errors import DataError, JobError
from mediswarm.pipelines import RoundPlan, Site, load_pipeline
from mediswarm.pipelines.odelia import Odelia, OdeliaConfig
from mediswarm.pipelines.odelia.augment import augment_volumes
from mediswarm.spec import Training, load_job
from mediswarm.training.torch_learner import TorchLearner

CLASSES = ("none", "benign", "malignant")


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One small site, written once."""
    folder = tmp_path_factory.mktemp("odelia")
    write_synthetic_odelia(folder, 3, [SyntheticSite("north", (3, 2, 2), (1, 2, 1), (1, 1, 2), 0.3, 200.0)])
    return folder


@pytest.fixture
def site(written: Path, tmp_path: Path) -> Site:
    """A copy of the small site, to be spoilt."""
    shutil.copytree(written / "north", tmp_path / "north")
    return Site("north", tmp_path)


@pytest.fixture
def pipeline() -> Odelia:
    return odelia()


def odelia(**config: object) -> Odelia:
    small = {"input_size": (20, 20, 12), "backbone": {"name": "cnn3d", "width": 4}}
    return Odelia(OdeliaConfig.model_validate(small | config))


def rows(site: Site, table: str) -> list[list[str]]:
    text = (site.folder / "metadata_unilateral" / f"{table}.csv").read_text()
    return [line.split(",") for line in text.splitlines()]


def rewrite(site: Site, table: str, changed: list[list[str]]) -> None:
    file = site.folder / "metadata_unilateral" / f"{table}.csv"
    file.write_text("".join(",".join(row) + "\n" for row in changed))


def volume(site: Site, index: int = 0) -> Path:
    return sorted((site.folder / "data_unilateral").iterdir())[index] / "Sub_1.nii.gz"


# -- what it reads -----------------------------------------------------------------------------------


def test_cases_are_read_with_their_labels(pipeline: Odelia, site: Site) -> None:
    data = pipeline.data(site)
    label = {row[0]: int(row[3]) for row in rows(site, "annotation")[1:]}
    assert (len(data.train), len(data.validation), len(data.test)) == (7, 4, 4)
    for cases in (data.train, data.validation, data.test):
        assert pipeline.targets(cases).tolist() == [label[uid] for uid in cases.ids]
        inputs, target = cases.dataset[0]
        # of training cases there is what the random crop may take
        size = (1, 32, 32, 16) if cases is data.train else (1, 20, 20, 12)
        assert (inputs.shape, inputs.dtype) == (size, torch.float32)
        assert target == label[cases.ids[0]]
    assert pipeline.statistics(data) == {"class_counts": [3.0, 2.0, 2.0]}
    assert data.measured == {"orientation": "RAS", "spacing_mm": [2.0, 2.0, 4.0]}


def test_class_counts_need_no_volume(pipeline: Odelia, site: Site) -> None:
    data = pipeline.data(site)
    shutil.rmtree(site.folder / "data_unilateral")
    assert pipeline.statistics(data) == {"class_counts": [3.0, 2.0, 2.0]}


def test_several_channels_are_stacked_in_the_declared_order(site: Site) -> None:
    for case in (site.folder / "data_unilateral").iterdir():
        image = nibabel.load(case / "Sub_1.nii.gz")
        nibabel.save(nibabel.Nifti1Image(-image.get_fdata(), image.affine), case / "Pre.nii.gz")
    pipeline = odelia(channels=("Pre", "Sub_1"))
    inputs, _ = pipeline.data(site).validation.dataset[0]
    assert inputs.shape == (2, 20, 20, 12)
    torch.testing.assert_close(inputs[0], -inputs[1], atol=1e-4, rtol=0)
    assert pipeline.model()(inputs[None].repeat(2, 1, 1, 1, 1)).shape == (2, 3)


def test_the_contract_says_what_sites_must_share(pipeline: Odelia) -> None:
    contract = pipeline.contract()
    assert contract["classes"] == list(CLASSES)
    assert contract["input_shape"] == [1, 20, 20, 12]
    assert "percentile" in contract["preprocessing"]


def test_a_sound_site_passes_every_check(pipeline: Odelia, site: Site) -> None:
    found = pipeline.check(site)
    assert {finding.status for finding in found} == {"PASS"}
    assert any("train: 3 none, 2 benign, 2 malignant" in finding.message for finding in found)
    assert any("15 files read; RAS, 2 x 2 x 4 mm" in finding.message for finding in found)


def test_the_synthetic_data_are_the_same_for_the_same_seed(written: Path, tmp_path: Path) -> None:
    sites = [SyntheticSite("north", (3, 2, 2), (1, 2, 1), (1, 1, 2), 0.3, 200.0)]
    write_synthetic_odelia(tmp_path, 3, sites)
    write_synthetic_odelia(tmp_path / "other", 4, sites)
    one, same, other = (volume(Site("north", folder)) for folder in (written, tmp_path, tmp_path / "other"))
    first, second, third = (np.asarray(nibabel.load(file).dataobj) for file in (one, same, other))
    np.testing.assert_array_equal(first, second)
    assert (first != third).any()


def test_an_absent_class_is_legal_and_shown(pipeline: Odelia, site: Site) -> None:
    keep = [row for row in rows(site, "annotation")[1:] if row[3] != "2"]
    uids = {row[0] for row in keep}
    rewrite(site, "annotation", [rows(site, "annotation")[0], *keep])
    rewrite(site, "split", [row for row in rows(site, "split") if row[0] in uids | {"UID"}])
    assert pipeline.statistics(pipeline.data(site)) == {"class_counts": [3.0, 2.0, 0.0]}
    warned = [finding for finding in pipeline.check(site) if finding.code == "MS-D117"]
    assert warned[0].message == "train: 3 none, 2 benign, 0 malignant"


# -- E5: judged as they are, without augmentation ---------------------------------------------------


def test_a_case_is_always_the_same(pipeline: Odelia, site: Site) -> None:
    one, other = pipeline.data(site).train.dataset, pipeline.data(site).train.dataset
    for index in (0, 3):
        torch.testing.assert_close(one[index][0], one[index][0], rtol=0, atol=0)
        torch.testing.assert_close(one[index][0], other[index][0], rtol=0, atol=0)


def test_only_training_batches_are_augmented(
    pipeline: Odelia, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    augmented: list[int] = []

    def counted(inputs: torch.Tensor, *arguments: object) -> torch.Tensor:
        augmented.append(len(inputs))
        return augment_volumes(inputs, *arguments)

    monkeypatch.setattr("mediswarm.pipelines.odelia.pipeline.augment_volumes", counted)
    data = pipeline.data(site)
    learner = TorchLearner(pipeline, data, Training(batch_size=4))
    before = [data.train.dataset[i][0].clone() for i in range(len(data.train))]
    one, other = learner.predict(data.validation), learner.predict(data.validation)
    assert not augmented
    torch.testing.assert_close(one.outputs, other.outputs, rtol=0, atol=0)
    learner.train(RoundPlan(round=0, rounds=1, seed=1))
    assert sum(augmented) == len(data.train)
    for index, volume_before in enumerate(before):
        torch.testing.assert_close(data.train.dataset[index][0], volume_before, rtol=0, atol=0)


# -- what it refuses --------------------------------------------------------------------------------


def patient_in_two_splits(site: Site) -> None:
    annotation = rows(site, "annotation")
    split_of = {row[0]: row[1] for row in rows(site, "split")}
    train = next(row for row in annotation[1:] if split_of[row[0]] == "train")
    val = next(row for row in annotation[1:] if split_of[row[0]] == "val")
    val[1] = train[1]
    rewrite(site, "annotation", annotation)


def truncated(site: Site) -> None:
    volume(site).write_bytes(volume(site).read_bytes()[:-2000])


def shortened_inside(site: Site) -> None:
    raw = bytearray(gzip.decompress(volume(site).read_bytes()))
    volume(site).write_bytes(gzip.compress(bytes(raw[: len(raw) // 2])))


def replaced(
    voxels: Callable[[np.ndarray], np.ndarray], affine: np.ndarray | None = None
) -> Callable[[Site], None]:
    def spoil(site: Site) -> None:
        image = nibabel.load(volume(site))
        changed = voxels(image.get_fdata()).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(changed, image.affine if affine is None else affine), volume(site))

    return spoil


def nan_in(voxels: np.ndarray) -> np.ndarray:
    voxels[1, 2, 3] = np.nan
    return voxels


def spreadsheet(site: Site) -> None:
    """All ids become 0001, 0002…, and the split table loses the zeros."""
    for table in ("annotation", "split"):
        changed = rows(site, table)
        for number, row in enumerate(changed[1:], start=1):
            row[0] = f"{number:04d}"
        rewrite(site, table, changed)
    folder = site.folder / "data_unilateral"
    for number, case in enumerate(sorted(folder.iterdir()), start=1):
        case.rename(folder / f"{number:04d}")
    changed = rows(site, "split")
    rewrite(site, "split", [changed[0], *([str(int(uid)), *rest] for uid, *rest in changed[1:])])


def without_validation(site: Site) -> None:
    rewrite(site, "split", [row for row in rows(site, "split") if row[1] != "val"])


def unreadable(site: Site) -> None:
    volume(site).unlink()
    volume(site).symlink_to(volume(site))


def a_file_for_the_images(site: Site) -> None:
    shutil.rmtree(site.folder / "data_unilateral")
    (site.folder / "data_unilateral").touch()


UP_FRONT: dict[str, tuple[Callable[[Site], object], str, str, str, str]] = {
    "D1": (
        patient_in_two_splits,
        "MS-D110",
        "patients in more than one split of fold 0: 1",
        "split.csv",
        "one split",
    ),
    "D2-no-image": (
        lambda site: volume(site).unlink(),
        "MS-D113",
        "that have no image: 1",
        "split.csv:",
        "Add the images",
    ),
    "D2-not-annotated": (
        lambda site: rewrite(site, "annotation", rows(site, "annotation")[:-1]),
        "MS-D112",
        "not in the annotation: 1",
        "split.csv:",
        "Annotate",
    ),
    "D2-twice": (
        lambda site: rewrite(site, "split", [*rows(site, "split"), rows(site, "split")[1]]),
        "MS-D111",
        "more than once in fold 0 of the split table: 1",
        "split.csv:",
        "one row",
    ),
    "D4": (
        lambda site: rewrite(
            site, "annotation", [[*row[:3], row[3].replace("2", "3")] for row in rows(site, "annotation")]
        ),
        "MS-D116",
        "Lesion is '3' in 5 rows; the job declares 0 = none, 1 = benign, 2 = malignant",
        "annotation.csv:",
        "Code all labels",
    ),
    "D11-lost-zeros": (spreadsheet, "MS-D104", "differ from the annotation", "split.csv", "as text"),
    "D11-header": (
        lambda site: rewrite(site, "split", [["uid", "split", "fold"], *rows(site, "split")[1:]]),
        "MS-D102",
        "lacks 'UID', 'Split', 'Fold'",
        "split.csv:1",
        "rename 'uid' to 'UID'",
    ),
    "no-table": (
        lambda site: (site.folder / "metadata_unilateral" / "split.csv").unlink(),
        "MS-D101",
        "missing",
        "split.csv",
        "Put the table",
    ),
    "no-images": (
        lambda site: shutil.rmtree(site.folder / "data_unilateral"),
        "MS-D002",
        "no folder data_unilateral",
        "data_unilateral",
        "<UID>",
    ),
    "a-file-for-the-images": (
        a_file_for_the_images,
        "MS-D002",
        "data_unilateral is a file, not a folder",
        "data_unilateral",
        "<UID>",
    ),
    "no-site": (
        lambda site: shutil.rmtree(site.folder),
        "MS-D002",
        "no folder for site north",
        "north",
        "--data",
    ),
    "no-validation": (
        without_validation,
        "MS-D003",
        "split val of fold 0 has no cases",
        "split.csv",
        "Split val",
    ),
    "R15": (
        unreadable,
        "MS-D120",
        "1 of 15 files: an image cannot be opened (the link points nowhere)",
        "Sub_1.nii.gz",
        "of the link",
    ),
    "D6-not-nifti": (
        lambda site: volume(site).write_bytes(b"DICM" * 99),
        "MS-D121",
        "1 of 15 files: an image is truncated or corrupt",
        "Sub_1.nii.gz",
        "copy",
    ),
    "not-3d": (
        replaced(lambda v: np.stack([v, v], axis=-1)),
        "MS-D124",
        "three axes",
        "Sub_1.nii.gz",
        "one three",
    ),
    "D5-orientation": (
        replaced(lambda v: v, np.diag([-2.0, 2.0, 4.0, 1.0])),
        "MS-D125",
        "1 of 15 images have another orientation than the usual RAS",
        "Sub_1.nii.gz",
        "orientation",
    ),
    "D5-spacing": (
        replaced(lambda v: v, np.diag([1.0, 1.0, 4.0, 1.0])),
        "MS-D125",
        "1 of 15 images have another spacing than the usual 2 x 2 x 4 mm",
        "Sub_1.nii.gz",
        "spacing",
    ),
}


@pytest.mark.parametrize("name", UP_FRONT)
def test_a_broken_site_is_refused_before_training(pipeline: Odelia, site: Site, name: str) -> None:
    spoil, code, rule, file, repair = UP_FRONT[name]
    spoil(site)
    with pytest.raises(DataError) as caught:
        pipeline.data(site)
    error = caught.value
    assert error.code == code
    assert rule in error.message
    assert file in error.place
    assert repair in error.repair
    assert _with_code(pipeline, site, code).status == "FAIL"


VOXELS: dict[str, tuple[Callable[[Site], object], str, str]] = {
    "D6-truncated": (truncated, "MS-D121", "truncated or corrupt"),
    "D6-truncated-inside": (shortened_inside, "MS-D121", "truncated or corrupt"),
    "D6-nan": (replaced(nan_in), "MS-D122", "1 of 16384 voxels are NaN"),
    "D6-constant": (replaced(np.zeros_like), "MS-D123", "every voxel is 0"),
}


@pytest.mark.parametrize("name", VOXELS)
def test_broken_voxels_fail_the_check_and_stop_the_training(pipeline: Odelia, site: Site, name: str) -> None:
    spoil, code, rule = VOXELS[name]
    spoil(site)
    finding = _with_code(pipeline, site, code)
    assert finding.status == "FAIL"
    assert rule in finding.message
    assert finding.message.startswith("1 of 15 files")
    assert finding.file == str(volume(site))
    assert finding.repair
    assert finding.cases == (volume(site).parent.name,)
    data = pipeline.data(site)
    uid = volume(site).parent.name
    cases = next(cases for cases in (data.train, data.validation, data.test) if uid in cases.ids)
    with pytest.raises(DataError) as caught:
        cases.dataset[list(cases.ids).index(uid)]
    assert (caught.value.code, caught.value.file) == (code, str(volume(site)))


def prepare(site: Site, tag_of: Callable[[int], str]) -> None:
    """Give each case a manifest with the preprocessing tag of its number."""
    uids = sorted(row[0] for row in rows(site, "split")[1:])
    for number, uid in enumerate(uids):
        breast = dict.fromkeys(PreparedBreast.model_fields, 0.0) | {"files": {}}
        Manifest(
            case=uid,
            preprocessing=tag_of(number),
            mediswarm="1",
            parameters={},
            inputs={},
            other_files=0,
            breasts={uid: PreparedBreast.model_validate(breast)},
        ).write(site.folder)


def test_mixed_preprocessing_is_refused_and_one_is_part_of_what_sites_agree_on(
    pipeline: Odelia, site: Site
) -> None:
    """D5, whatever the headers say."""
    prepare(site, lambda number: "odelia/1")
    assert pipeline.data(site).measured["prepared"] == "odelia/1"
    assert "FAIL" not in {finding.status for finding in pipeline.check(site)}
    prepare(site, lambda number: "odelia/2" if number == 3 else "odelia/1")
    with pytest.raises(DataError) as caught:
        pipeline.data(site)
    assert caught.value.code == "MS-X025"
    assert "14 odelia/1, 1 odelia/2" in caught.value.message
    assert _with_code(pipeline, site, "MS-X025").status == "FAIL"


def test_a_scratch_directory_changes_no_voxel(pipeline: Odelia, site: Site, tmp_path: Path) -> None:
    with_scratch = pipeline.data(Site("north", tmp_path, tmp_path / "scratch"))
    plain = pipeline.data(site)
    for _ in range(2):
        for cached, direct in ((with_scratch.train, plain.train), (with_scratch.test, plain.test)):
            for index in range(len(direct)):
                torch.testing.assert_close(cached.dataset[index][0], direct.dataset[index][0], rtol=0, atol=0)
    assert len(list((tmp_path / "scratch" / "volumes").iterdir())) == 11
    assert not [path for path in tmp_path.rglob("*.volume") if "north" in path.parts]


def test_training_batches_have_the_input_size_after_augmentation(pipeline: Odelia, site: Site) -> None:
    volume, _ = pipeline.data(site).train.dataset[0]
    inputs, _ = pipeline.augment(volume[None], torch.zeros(1), torch.Generator())
    assert inputs.shape == (1, 1, 20, 20, 12)


def test_a_file_beside_the_case_folders_is_no_image(pipeline: Odelia, site: Site) -> None:
    (site.folder / "data_unilateral" / "Thumbs.db").write_bytes(b"x")
    assert {finding.status for finding in pipeline.check(site)} == {"PASS"}


def test_identical_images_are_counted(pipeline: Odelia, site: Site) -> None:
    """D10, with the copy written anew, so that the files' bytes differ."""
    image = nibabel.load(volume(site))
    nibabel.save(nibabel.Nifti1Image(image.get_fdata(), image.affine), volume(site, 1))
    finding = _with_code(pipeline, site, "MS-D119")
    assert finding.status == "WARN"
    assert finding.message.startswith("images that stand under several ids: 1 (2 ids)")
    assert set(finding.cases) == {volume(site, 0).parent.name, volume(site, 1).parent.name}


def test_another_size_is_a_warning(pipeline: Odelia, site: Site) -> None:
    replaced(lambda voxels: voxels[:-2])(site)
    pipeline.data(site)
    finding = _with_code(pipeline, site, "MS-D126")
    assert (finding.status, finding.file) == ("WARN", str(volume(site)))
    assert "1 of 15 images have another size than the usual 32 x 32 x 16 voxels" in finding.message


def test_the_check_reports_every_broken_rule_and_no_case_id(pipeline: Odelia, site: Site) -> None:
    patient_in_two_splits(site)
    truncated(site)
    volume(site, 2).unlink()
    found = pipeline.check(site)
    assert {"MS-D110", "MS-D113", "MS-D121"} <= {finding.code for finding in found}
    assert not [finding for finding in found if "north-" in finding.message]


# -- config -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"backbone": {"name": "densenet121"}}, "needs at least 29 voxels"),
        ({"classes": ("a", "a")}, "must be different"),
        ({"channels": ()}, "at least 1"),
        ({"channels": ("../x",)}, "'../x'; a channel is a file's name"),
        ({"channels": ("Pre", "a/b")}, "and no path"),
        ({"channels": (r"a\b",)}, "and no path"),
        ({"channels": ("Sub_1.nii.gz",)}, "without .nii.gz"),
        ({"backbone": {"name": "cnn3d", "widht": 8}}, "Extra inputs"),
        ({"backbone": {"name": "vgg"}}, "does not match any of the expected tags"),
    ],
)
def test_a_contradictory_config_is_refused(config: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        odelia(**config)


def test_the_default_backbone_is_densenet_121() -> None:
    config = OdeliaConfig()
    assert (config.backbone.name, config.input_size) == ("densenet121", (224, 224, 32))
    tiny = {"name": "densenet121", "init_features": 4, "growth_rate": 2, "block_config": (1, 1, 1, 1)}
    model = odelia(input_size=(32, 32, 29), backbone=tiny).model().eval()
    assert model(torch.randn(1, 1, 32, 32, 29)).shape == (1, 3)


def test_the_demo_job_is_valid_and_names_the_line_of_a_mistake(tmp_path: Path) -> None:
    source = Path(__file__).parents[3] / "application" / "jobs" / "odelia_demo"
    assert isinstance(load_pipeline(load_job(source)), Odelia)
    copy = tmp_path / "odelia_demo"
    shutil.copytree(source, copy)
    text = (copy / "job.yml").read_text()
    (copy / "job.yml").write_text(text.replace("input_size", "imput_size"))
    with pytest.raises(JobError) as caught:
        load_pipeline(load_job(copy))
    assert caught.value.code == "MS-J009"
    assert caught.value.line == 1 + text[: text.index("input_size")].count("\n")
    assert "input_size" in caught.value.repair


def test_a_default_that_follows_from_a_wrong_value_is_no_second_problem(tmp_path: Path) -> None:
    copy = tmp_path / "odelia_demo"
    shutil.copytree(Path(__file__).parents[3] / "application" / "jobs" / "odelia_demo", copy)
    text = (copy / "job.yml").read_text()
    line = "  augmentation: {rotation_degrees: 0, noise_std: 0}\n"
    assert text.count(line) == 1
    (copy / "job.yml").write_text(text.replace(line, "  laterality: orginal\n"))
    with pytest.raises(JobError) as caught:
        load_pipeline(load_job(copy))
    assert caught.value.message.endswith("not 'orginal'")


def _with_code(pipeline: Odelia, site: Site, code: str) -> Finding:
    (found,) = (finding for finding in pipeline.check(site) if finding.code == code)
    return found
