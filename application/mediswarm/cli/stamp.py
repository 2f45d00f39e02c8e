"""`mediswarm stamp`: what belongs to the pipeline stamp alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from mediswarm.cli.arguments import (
    DataOption,
    DeviceOption,
    ScratchOption,
    SiteOption,
    data_directory,
    device_named,
    result_directory,
    scratch_directory,
)
from mediswarm.errors import NO_ROOM, UsageError

app = typer.Typer(help="Pathology by features of whole-slide images.", no_args_is_help=True)

ModelArgument = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL", help="A run directory (its best model), or the folder of a model in one."
    ),
]
ResultOption = Annotated[
    Path,
    typer.Option("--out", metavar="DIR", help="Where to write; new, or empty. It will hold patients' ids."),
]


@app.command()
def synthesise(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="The data directory, with one folder for each site.")
    ] = Path("stamp-data"),
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="Another seed, other patients.")
    ] = 0,
) -> None:
    """Write a synthetic cohort of three sites, for which the jobs STAMP_… are made."""
    from mediswarm.data.bags.synthetic_bags import write_synthetic_bags

    try:
        if out.exists() and not (out.is_dir() and not any(out.iterdir())):
            raise UsageError("MS-U003", "the directory for the cohort is not empty", file=out)
        write_synthetic_bags(out, seed)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        why = error.strerror or str(error)
        raise UsageError("MS-U006", f"the cohort cannot be written: {why}", file=out) from error
    sites = ", ".join(sorted(folder.name for folder in out.iterdir()))
    typer.echo(f"wrote {out}: {sites}\nnext: mediswarm simulate STAMP_classification --data {out}")


@app.command()
def predict(
    model: ModelArgument,
    site: SiteOption,
    out: ResultOption,
    data: DataOption = None,
    split: Annotated[
        Literal["test", "val", "all"],
        typer.Option("--split", help="Whose patients; all is for a site that the model was not trained on."),
    ] = "test",
    scratch: ScratchOption = None,
    device: DeviceOption = "cpu",
) -> None:
    """Predict a site's patients: a table of predictions, statistics with intervals, and figures."""
    from mediswarm.cli.statistics_view import show_statistics
    from mediswarm.evaluation.slides.predict import predict_site
    from mediswarm.evaluation.slides.trained import TrainedModel
    from mediswarm.pipelines.base import Site

    trained = TrainedModel.load(model, device_named(device))
    data_dir = data_directory(data, trained.pipeline)
    where = Site(site, data_dir, scratch_directory(scratch, data_dir), device)
    rows = predict_site(trained, where, split, result_directory(out, data_dir))
    if rows:
        show_statistics(f"{split} patients of {site}", rows)
    typer.echo(f"wrote {out}")


@app.command()
def heatmap(
    model: ModelArgument,
    site: SiteOption,
    patient: Annotated[
        list[str], typer.Option("--patient", metavar="ID", help="A patient; may be given several times.")
    ],
    out: ResultOption,
    data: DataOption = None,
    slides: Annotated[
        Path | None,
        typer.Option(
            "--slides",
            metavar="DIR",
            help="Whole-slide images, named as the feature files: behind the maps, and for their pixel size.",
        ),
    ] = None,
    mpp: Annotated[
        float | None,
        typer.Option(
            "--mpp",
            metavar="UM",
            min=0.01,
            max=1000,
            help="Size in µm of a slide's pixels, where no slide says it: QuPath counts in pixels.",
        ),
    ] = None,
    device: DeviceOption = "cpu",
) -> None:
    """Draw what each tile adds to the prediction: PNG, GeoJSON for QuPath, highest and lowest tiles."""
    from mediswarm.evaluation.slides.heatmap import draw_heatmaps
    from mediswarm.evaluation.slides.trained import TrainedModel
    from mediswarm.pipelines.base import Site

    trained = TrainedModel.load(model, device_named(device))
    data_dir = data_directory(data, trained.pipeline)
    where = Site(site, data_dir, device=device)
    if slides is not None and not slides.is_dir():
        raise UsageError("MS-U001", "there is no such folder of whole-slide images", file=slides)
    for file in draw_heatmaps(trained, where, patient, result_directory(out, data_dir), slides, mpp):
        typer.echo(f"wrote {file}")
