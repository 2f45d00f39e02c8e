"""Cases that a person should look at: unlike the others, or unlikely by themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from mediswarm.data.prepare.manifest import Manifest
from mediswarm.data.prepare.phases import ROLES

_FEWEST_CASES = 8
"""With fewer, it cannot be told what is usual."""
_UNUSUAL = 3.5
"""Of the modified z-score (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993)."""
_NORMAL = 0.6745
_SMALLEST_SPREAD = 0.02
"""Relative to the median: what all cases share to two hundredths is no reason to mark one."""
_FEWEST_COVERED = 0.9


def unusual(manifests: Sequence[Manifest]) -> dict[str, list[str]]:
    """What is remarkable about each breast, by UID; those about which nothing is are left out."""
    found: dict[str, list[str]] = defaultdict(list)
    for manifest in manifests:
        for uid, breast in manifest.breasts.items():
            if breast.covered < _FEWEST_COVERED:
                found[uid].append(f"only {breast.covered:.0%} of it was acquired in both phases")
            if breast.mean < 0 and manifest.inputs:
                found[uid].append("darker after contrast than before: are Pre and Post_1 swapped?")
        for remark in _phases(manifest):
            for uid in manifest.breasts:
                found[uid].append(remark)
    for name, values in _measures(manifests).items():
        for uid, score in _scores(values).items():
            if abs(score) > _UNUSUAL:
                found[uid].append(
                    f"{name} {values[uid]:.4g} is {'far above' if score > 0 else 'far below'} the others"
                )
    return dict(sorted(found.items()))


def _phases(manifest: Manifest) -> list[str]:
    """What is remarkable about how a case was acquired and exported."""
    remarks = [
        f"{role}: identical copies of files were left out: {phase.identical_copies_left_out}"
        for role, phase in manifest.inputs.items()
        if phase.identical_copies_left_out
    ]
    if len({(phase.size, phase.spacing_mm) for phase in manifest.inputs.values()}) > 1:
        shown = (" x ".join(map(str, manifest.inputs[role].size)) for role in ROLES)
        remarks.append(f"Pre and Post_1 were acquired differently ({' and '.join(shown)} voxels)")
    return remarks


def _measures(manifests: Sequence[Manifest]) -> dict[str, dict[str, float]]:
    """What is compared between breasts, by name and UID."""
    values: dict[str, dict[str, float]] = defaultdict(dict)
    for manifest in manifests:
        for uid, breast in manifest.breasts.items():
            values["brightness (percentile 99.5)"][uid] = breast.percentile_99_5
            values["spread of brightness"][uid] = breast.deviation
            if "Post_1" in manifest.inputs:
                *pixel, slices = manifest.inputs["Post_1"].spacing_mm
                values["pixel spacing"][uid], values["slice spacing"][uid] = max(pixel), slices
    return values


def _scores(values: dict[str, float]) -> dict[str, float]:
    """Modified z-scores of logarithms, since gains of scanners differ by factors."""
    if len(values) < _FEWEST_CASES:
        return {}
    logs = np.log(np.maximum(list(values.values()), 1e-9))
    away = logs - np.median(logs)
    spread = max(float(np.median(np.abs(away))), _SMALLEST_SPREAD)
    return dict(zip(values, (_NORMAL * away / spread).tolist(), strict=True))
