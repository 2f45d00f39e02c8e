"""What federation changed at a site: both models on the same cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mediswarm.errors import DataError
from mediswarm.evaluation.bootstrap import percentile_interval, resampled_macro_auroc
from mediswarm.evaluation.class_scores import ClassScores
from mediswarm.evaluation.predictions import PredictionTable, read_predictions
from mediswarm.evaluation.result import Difference


def compare_predictions(local: Path, federated: Path, site: str, classes: Sequence[str]) -> Difference | None:
    """Difference in macro AUROC, federated minus local, with a paired bootstrap interval.

    The separate intervals of two models may overlap although one is better on
    nearly every resample, because they share the cases. This interval takes
    the sharing into account.

    Returns:
        None where no class has an AUROC.

    Raises:
        DataError: MS-E001 to MS-E005 for a bad file, MS-E006 when the two
            files are not about the same cases with the same targets.
    """
    first = read_predictions(local, classes)
    second = _matched(read_predictions(federated, classes), first, federated, local)
    before, after = ClassScores(first), ClassScores(second)
    chosen = before.macro_classes()
    old, new = before.macro_auroc(), after.macro_auroc()
    if old is None or new is None:
        return None
    resampled = resampled_macro_auroc([first, second], chosen)
    low, high = percentile_interval(resampled[1] - resampled[0]) or (None, None)
    few = not all(before.well_supported(index) for index in chosen)
    return Difference(site, "auroc_macro", new - old, len(first), low, high, few, before.names(chosen))


def _matched(table: PredictionTable, reference: PredictionTable, file: Path, other: Path) -> PredictionTable:
    unmatched = set(table.cases) ^ set(reference.cases)
    if unmatched:
        raise DataError(
            "MS-E006",
            f"{len(unmatched)} cases are in only one of this file ({len(table)} cases) and {other} "
            f"({len(reference)} cases)",
            file=file,
        )
    matched = table.in_order_of(reference.cases)
    changed = int((matched.targets != reference.targets).sum())
    if changed:
        raise DataError("MS-E006", f"{changed} cases have another target than in {other}", file=file)
    return matched
