"""The four hospitals of the UCI heart-disease data as four sites, against published numbers.

The protocol is that of FLamby's Fed-Heart-Disease (Ogier du Terrail et al., 2022):
740 rows without a missing value, 13 features, a fixed stratified split in each
hospital, logistic regression, 15 rounds of 100 steps with batches of 4, accuracy on
the held-out third of all hospitals together. Every method is the job
`tabular_heart_disease` with some of its sections replaced.

So few steps at so low a rate leave much of a model's initial weights in it. Each method
is therefore run twice: from the weights that the published runs of the same seed start
from, and from those that the job itself draws.

    python scripts/evaluation/heart_disease.py --data DIR --seeds 42,43,44,45,46
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import safetensors.torch
import torch
from rich.console import Console
from rich.table import Table
from sklearn.model_selection import train_test_split

import mediswarm
from mediswarm.aggregation.reference import ReferenceRun
from mediswarm.pipelines import Site, SiteData, Weights, add_counts, load_pipeline
from mediswarm.pipelines.tabular import Tabular
from mediswarm.pipelines.tabular.columns import feature_names
from mediswarm.spec import (
    Cyclic,
    FedAvg,
    FedOpt,
    Job,
    LocalWork,
    Optimizer,
    Scaffold,
    ServerOptimizer,
    load_job,
)

JOB = Path(mediswarm.__file__).parents[1] / "jobs" / "tabular_heart_disease"
SITES = ("cleveland", "hungarian", "switzerland", "va")
COLUMNS = (
    "age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca",
    "thal", "num",
)  # fmt: skip
UNUSED = ["slope", "ca", "thal"]
EXPECTED_ROWS = {"cleveland": (199, 104), "hungarian": (172, 89), "switzerland": (30, 16), "va": (85, 45)}
FEWEST_TO_STRATIFY = 2
ROUNDS, EPOCHS_ALONE = 15, 50
PUBLISHED_ORDER = (
    "age", "sex=1", "trestbps", "chol", "fbs=1", "thalach", "exang=1", "oldpeak", "cp=2", "cp=3", "cp=4",
    "restecg=1", "restecg=2",
)  # fmt: skip
STARTS = ("published", "own")


@dataclass(frozen=True)
class Method:
    """A line of the table: sections to replace, tables to train on, published mean and sd."""

    name: str
    training: dict[str, Any]
    workflow: FedAvg | FedOpt | Scaffold | Cyclic
    tables: tuple[str, ...]
    published: tuple[float, float | None]


def methods() -> list[Method]:
    """All methods with the published hyperparameters."""
    alone = {
        "optimizer": Optimizer(name="adam", lr=1e-3),
        "local": LocalWork(epochs=1, steps=None, epochs_scaled=None),
    }
    once = FedAvg(rounds=EPOCHS_ALONE)

    def adaptive(name: str, lr: float) -> FedOpt:
        server = {"name": name, "lr": lr, "beta1": 0.9, "beta2": 0.999, "tau": 1e-8}
        return FedOpt(rounds=ROUNDS, server_optimizer=ServerOptimizer.model_validate(server))

    def sgd(lr: float) -> dict[str, Any]:
        return {"optimizer": Optimizer(name="sgd", lr=lr)}

    return [
        Method("pooled", alone, once, ("pooled",), (0.795, 0.003)),
        *(
            Method(f"local, {site}", alone, once, (site,), (value, None))
            for site, value in zip(SITES, (0.784, 0.727, 0.483, 0.611), strict=True)
        ),
        Method("FedAvg", sgd(1e-3), FedAvg(rounds=ROUNDS), SITES, (0.748, 0.027)),
        Method("FedProx", sgd(1e-3), FedAvg(rounds=ROUNDS, proximal_mu=0.01), SITES, (0.748, 0.027)),
        Method("SCAFFOLD", sgd(1e-3), Scaffold(rounds=ROUNDS), SITES, (0.748, 0.027)),
        Method("FedAdam", sgd(1e-2), adaptive("adam", 1e-2), SITES, (0.779, 0.015)),
        Method("FedYogi", sgd(3.162e-3), adaptive("yogi", 1e-2), SITES, (0.779, 0.015)),
        Method("FedAdagrad", sgd(3.162e-3), adaptive("adagrad", 0.316228), SITES, (0.779, 0.015)),
        # a published round is one visit to one hospital, ours one pass over all: 15 visits are about 4 passes
        Method("cyclic", sgd(1e-2), Cyclic(rounds=4), SITES, (0.785, 0.012)),
        # what the published cyclic run amounts to: its hospitals train copies that are never handed on,
        # and the first one's, visited 4 times of 15, is what is judged
        Method("cyclic, not handed on", sgd(1e-2), FedAvg(rounds=4), SITES[:1], (0.785, 0.012)),
    ]


def write_tables(raw: Path, target: Path) -> None:
    """Write ``<target>/<site>/data.csv`` for the four sites, and for `pooled` all rows together.

    As in the protocol, the columns that most hospitals lack are left out, then the
    rows with a missing value. The column `protocol` holds the published split: its
    held-out third is named `validation`. No model is chosen by it; the last one is judged.
    """
    tables = []
    for site in SITES:
        table = (
            pd.read_csv(raw / f"processed.{site}.data", names=COLUMNS, na_values="?")
            .drop(columns=UNUSED)
            .dropna()
        )
        ill = (table["num"] > 0).astype(int)
        train, _ = train_test_split(
            table.index,
            train_size=0.66,
            test_size=0.34,
            random_state=43,
            # as in the protocol: Switzerland has a single healthy patient with a complete row
            stratify=ill if ill.value_counts().min() > FEWEST_TO_STRATIFY else None,
        )
        table["protocol"] = ["train" if row in set(train) else "validation" for row in table.index]
        counts = tuple(int((table["protocol"] == split).sum()) for split in ("train", "validation"))
        if counts != EXPECTED_ROWS[site]:
            raise SystemExit(
                f"{site}: {counts} rows to train and to test, {EXPECTED_ROWS[site]} are expected"
            )
        tables.append(table)
    for site, table in zip((*SITES, "pooled"), (*tables, pd.concat(tables)), strict=True):
        whole = {name: "int64" for name in table.columns if name not in ("oldpeak", "protocol")}
        (target / site).mkdir(parents=True, exist_ok=True)
        table.astype(whole).to_csv(target / site / "data.csv", index=False)


def job_for(method: Method, seed: int) -> Job:
    """The project's own job with the method's sections."""
    job = load_job(JOB)
    config = job.config | {"split": {"column": "protocol"}, "ignore": []}
    training = job.training.model_copy(update={**method.training, "seed": seed})
    return job.varied(config=config, training=training, workflow=method.workflow)


class Judge:
    """Accuracy on the held-out rows of all hospitals together.

    The published test set is standardised by the moments of all training rows
    together, although the hospitals trained on rows standardised by their own. The
    second reading standardises each hospital's test rows as that hospital does.
    """

    def __init__(self, job: Job, tables: Path) -> None:
        self.by_site = _pipeline(job)
        self.together = _pipeline(job.varied(config=job.config | {"standardise": "federated"}))
        self.data = {site: self.by_site.data(Site(site, tables)) for site in SITES}
        self.together.agree(add_counts(self.together.statistics(data) for data in self.data.values()))

    def published(self, weights: Weights) -> float:
        """Test rows standardised by the moments of all training rows together."""
        return self._accuracy(self.together, weights)

    def deployed(self, weights: Weights) -> float:
        """Test rows standardised as the hospital that they are from does."""
        return self._accuracy(self.by_site, weights)

    def _accuracy(self, pipeline: Tabular, weights: Weights) -> float:
        counts = add_counts(self._count(pipeline, weights, data) for data in self.data.values())
        return float(pipeline.metrics(counts)["accuracy"] or 0.0)

    @torch.inference_mode()
    def _count(self, pipeline: Tabular, weights: Weights, data: SiteData) -> Any:
        model = pipeline.model()
        pipeline.localise(model, data)
        model.load_state_dict(
            {name: value for name, value in weights.items() if not name.startswith("standardise.")},
            strict=False,
        )
        inputs, targets = pipeline.tensors(data.validation)
        return pipeline.count(pipeline.predict(model.eval()(inputs)), targets)


def _pipeline(job: Job) -> Tabular:
    pipeline = load_pipeline(job)
    if not isinstance(pipeline, Tabular):
        raise TypeError("the job's pipeline is tabular")
    return pipeline


def start_as_published(training: ReferenceRun, seed: int) -> None:
    """Let the run start from the weights that PyTorch draws first after the published seed."""
    pipeline = training.centre.pipeline
    names = feature_names(pipeline.columns)
    draw = pipeline.model

    def model() -> torch.nn.Module:
        made = draw()
        torch.manual_seed(seed)
        published = torch.nn.Linear(len(PUBLISHED_ORDER), 1)
        weights = published.weight[:, [PUBLISHED_ORDER.index(name) for name in names]]
        made.layers[0].load_state_dict({"weight": weights, "bias": published.bias})
        return made

    pipeline.model = model


def run(method: Method, seed: int, start: str, tables: Path) -> dict[str, Any]:
    """Train one method from one seed in the reference loop, and judge its last model."""
    job = job_for(method, seed)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        training = ReferenceRun(job, [Site(name, tables) for name in method.tables], Path(folder))
        if start == "published":
            start_as_published(training, seed)
        training.run()
    judge = Judge(job, tables)
    return {
        "method": method.name,
        "seed": seed,
        "start": start,
        "published_test": judge.published(training.weights),
        "deployed_test": judge.deployed(training.weights),
        "seconds": time.perf_counter() - started,
    }


def through_nvflare(method: Method, seed: int, tables: Path) -> dict[str, Any]:
    """Train one method on NVFlare's simulator too; how far its last model is from the reference loop's."""
    from mediswarm.flare.simulator import simulate

    job = job_for(method, seed)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        reference = ReferenceRun(
            job, [Site(name, tables) for name in method.tables], Path(folder) / "reference"
        )
        reference.run()
        simulate(job, list(method.tables), Path(folder) / "nvflare", tables)
        trained = safetensors.torch.load_file(Path(folder) / "nvflare" / "last" / "model.safetensors")
    judge = Judge(job, tables)
    return {
        "method": method.name,
        "seed": seed,
        "largest_difference": max(
            float((trained[name] - value).abs().max()) for name, value in reference.weights.items()
        ),
        "published_test": judge.published(trained),
        "seconds": time.perf_counter() - started,
    }


def summarise(method: Method, results: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation of a method over its seeds, beside the published ones."""
    line: dict[str, Any] = {"method": method.name, "published": method.published}
    for start in STARTS:
        values = [result["published_test"] for result in results if result["start"] == start]
        spread = statistics.stdev(values) if len(values) > 1 else None
        line[f"from_{start}_start"] = (statistics.mean(values), spread)
    line["difference"] = line["from_published_start"][0] - method.published[0]
    line["deployed"] = statistics.mean(
        result["deployed_test"] for result in results if result["start"] == "own"
    )
    return line


def show(summary: list[dict[str, Any]]) -> None:
    """Print the table."""

    def value(mean: float, spread: float | None) -> str:
        return f"{mean:.3f}" + ("" if spread is None else f" ± {spread:.3f}")

    table = Table(
        "method",
        "published",
        "here, from the published initial weights",
        "difference",
        "here, from the job's own",
        "each hospital's own standardisation",
    )
    for line in summary:
        table.add_row(
            line["method"],
            value(*line["published"]),
            value(*line["from_published_start"]),
            f"{line['difference']:+.3f}",
            value(*line["from_own_start"]),
            f"{line['deployed']:.3f}",
        )
    Console(width=110).print(table)


def main() -> None:
    """Read the options, run all methods from all seeds, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the four processed.*.data files")
    parser.add_argument("--seeds", default="42,43,44,45,46", help="comma-separated")
    parser.add_argument("--tables", type=Path, help="keep the sites' tables here, as data for the job itself")
    parser.add_argument("--nvflare", action="store_true", help="FedAvg and FedAdam through NVFlare as well")
    parser.add_argument("--json", type=Path, help="write all results to this file")
    options = parser.parse_args()
    torch.set_num_threads(1)  # 14 parameters: a second thread only waits
    seeds = [int(seed) for seed in options.seeds.split(",")]
    with tempfile.TemporaryDirectory() as temporary:
        tables = options.tables or Path(temporary)
        write_tables(options.data, tables)
        results = []
        for method in methods():
            for seed in seeds:
                results.extend(run(method, seed, start, tables) for start in STARTS)
                print(
                    "{method:18} seed {seed}  {published_test:.4f}  {seconds:5.1f} s".format(**results[-1]),
                    flush=True,
                )
        held_against = []
        for method in methods():
            if options.nvflare and method.name in ("FedAvg", "FedAdam"):
                held_against.append(through_nvflare(method, seeds[0], tables))
                print(
                    "{method:18} seed {seed}  {published_test:.4f}  {seconds:5.1f} s  through NVFlare: "
                    "largest difference of a weight {largest_difference:.1e}".format(**held_against[-1]),
                    flush=True,
                )
    summary = [
        summarise(method, [result for result in results if result["method"] == method.name])
        for method in methods()
    ]
    show(summary)
    if options.json:
        written = {"summary": summary, "results": results, "nvflare": held_against}
        options.json.write_text(json.dumps(written, indent=2) + "\n")


if __name__ == "__main__":
    main()
