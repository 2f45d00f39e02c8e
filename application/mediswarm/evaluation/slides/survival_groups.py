"""Patients of lower and higher predicted risk, followed in time to the day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mediswarm.evaluation.predictions import Floats
from mediswarm.evaluation.slides.judged import JudgedPatients
from mediswarm.pipelines.stamp.tasks.survival_curves import RiskGroups

NAMES = ("lower risk", "higher risk")


@dataclass(frozen=True)
class SurvivalGroups:
    """Where the predicted log risk divides the patients, and what became of both parts.

    `times` [m] are the distinct times of follow-up, ascending, `survival` [2, m] Kaplan and Meier's
    estimate just after each, NaN of a group without patients. `censored` are the censored patients' times,
    `sizes` the patients, `events` their events, each of the lower and the higher group.
    """

    cut_off: float
    of_the_run: bool
    times: Floats
    survival: Floats
    censored: tuple[Floats, Floats]
    sizes: tuple[int, int]
    events: tuple[int, int]
    chi2: float | None
    p: float | None

    @classmethod
    def of(cls, judged: JudgedPatients, cut_off: float | None) -> SurvivalGroups:
        """Divide at `cut_off`, or where there is none, at the median risk; who is at it belongs below."""
        risk = judged.predictions.double().reshape(-1).numpy()
        time, event = judged.targets.double().numpy().T
        chosen = float(np.median(risk)) if cut_off is None else cut_off
        group = (risk > chosen).astype(np.int64)
        times, place = np.unique(time, return_inverse=True)
        left, died = np.zeros((2, len(times))), np.zeros((2, len(times)))
        np.add.at(left, (group, place), 1)
        np.add.at(died, (group, place), event)
        at_risk = left[:, ::-1].cumsum(axis=1)[:, ::-1]
        # an interval for each time, so that no two times are taken for one
        groups = RiskGroups(chosen, died, at_risk)
        chi2, p = groups.log_rank() or (None, None)
        return cls(
            chosen,
            cut_off is not None,
            times,
            groups.survival(),
            (time[(group == 0) & (event == 0)], time[(group == 1) & (event == 0)]),
            (int((group == 0).sum()), int((group == 1).sum())),
            (int(died[0].sum()), int(died[1].sum())),
            chi2,
            p,
        )
