"""Per class: how many cases, how many found, how well ranked. And which classes may be averaged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

from mediswarm.evaluation.predictions import Floats, PredictionTable
from mediswarm.evaluation.result import WELL_SUPPORTED

Bools = np.ndarray[Any, np.dtype[np.bool_]]


class ClassScores:
    """Counts and one-versus-rest AUROC of each class of a table.

    `positives`, `negatives` [classes] count the cases of a class and of the
    others; `hits` those of its cases decided rightly, `false_alarms` those of
    the others decided for it, where the most probable class is the decision.
    `aurocs` [classes] is None for a class without cases or without others.
    """

    def __init__(self, table: PredictionTable) -> None:
        size, probabilities, targets = len(table.classes), table.probabilities, table.targets
        decided = probabilities.argmax(axis=1)
        self.classes = table.classes
        self.cases = len(table)
        self.positives = [int(count) for count in np.bincount(targets, minlength=size)]
        self.negatives = [self.cases - count for count in self.positives]
        self.hits = [int(count) for count in np.bincount(targets[decided == targets], minlength=size)]
        self.false_alarms = [int(count) for count in np.bincount(decided[decided != targets], minlength=size)]
        self.aurocs = [auroc(probabilities[:, index], targets == index) for index in range(size)]

    def macro_classes(self) -> list[int]:
        """The classes that the macro AUROC is taken over.

        Those that are well supported; where none is, all whose AUROC is
        defined. It depends on the cases alone, so that every model of a site is
        judged by the same mean.
        """
        return self._with(WELL_SUPPORTED) or self._with(1)

    def recall_classes(self) -> list[int]:
        """The classes that balanced accuracy is taken over: with ten cases, or else all with any."""
        for least in (WELL_SUPPORTED, 1):
            chosen = [index for index, count in enumerate(self.positives) if count >= least]
            if chosen:
                return chosen
        return []

    def well_supported(self, index: int) -> bool:
        """Whether the class's AUROC rests on at least ten cases and ten others.

        The others count as well: an AUROC of 90 cases against 2 knows as little
        as one of 2 against 90.
        """
        return min(self.positives[index], self.negatives[index]) >= WELL_SUPPORTED

    def macro_auroc(self) -> float | None:
        """Mean AUROC over :meth:`macro_classes`; None where no class has one."""
        values = [value for index in self.macro_classes() if (value := self.aurocs[index]) is not None]
        return sum(values) / len(values) if values else None

    def names(self, indices: Sequence[int]) -> tuple[str, ...]:
        """The classes' names."""
        return tuple(self.classes[index] for index in indices)

    def _with(self, least: int) -> list[int]:
        pairs = enumerate(zip(self.positives, self.negatives, strict=True))
        return [index for index, counts in pairs if min(counts) >= least]


def auroc(scores: Floats, positive: Bools) -> float | None:
    """AUROC from ranks (Mann and Whitney, 1947), ties counted half; None without both kinds.

    `scores` and `positive` are [n].
    """
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return None
    won = float(rankdata(scores)[positive].sum()) - positives * (positives + 1) / 2
    return won / (positives * negatives)
