"""Draw docs/pipelines/stamp_heatmap.png: a slide of a synthetic cohort by a model trained on it.

python scripts/build/stamp_figure.py
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import yaml

from mediswarm.aggregation.reference import ReferenceRun, local_variant
from mediswarm.data.bags.synthetic_bags import write_synthetic_bags
from mediswarm.evaluation.slides.heatmap import draw_heatmaps
from mediswarm.evaluation.slides.trained import TrainedModel
from mediswarm.pipelines import Site
from mediswarm.spec import load_job
from mediswarm.spec.catalogue import JOBS

FIGURE = Path(__file__).resolve().parents[2] / "docs" / "pipelines" / "stamp_heatmap.png"
PATIENT = "site-1-0001"


def main() -> None:
    """Train STAMP_classification with attention pooling at one site, and draw a patient's largest slide."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_synthetic_bags(folder / "data")
        document = yaml.safe_load((JOBS / "STAMP_classification" / "job.yml").read_text(encoding="utf-8"))
        document["config"]["model"] = {"name": "abmil"}
        document["training"]["optimizer"]["lr"] = 1e-3
        document["workflow"]["rounds"] = 8
        job = folder / document["name"]
        job.mkdir()
        (job / "job.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
        site, run = Site("site-1", folder / "data"), folder / "run"
        ReferenceRun(local_variant(load_job(job)), [site], run, "figure").run()
        drawn = draw_heatmaps(TrainedModel.load(run), site, [PATIENT], folder / "maps", None, None)
        pictures = [file for file in drawn if file.suffix == ".png"]
        shutil.copyfile(max(pictures, key=lambda file: file.stat().st_size), FIGURE)


if __name__ == "__main__":
    main()
