"""Draw docs/pipelines/odelia_preprocessing.png: a synthetic examination on its way to two breasts.

python scripts/build/odelia_figure.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import SimpleITK as sitk  # noqa: N813 - as everyone calls it
from matplotlib.axes import Axes

from mediswarm.data.prepare.breasts import Grid, cut_breasts
from mediswarm.data.prepare.headers import read_headers
from mediswarm.data.prepare.phases import choose_phases
from mediswarm.data.prepare.rules import load_rules
from mediswarm.data.prepare.stack import Stack, read_stack, stack_phase
from mediswarm.data.synthetic_dicom import Scan, write_examination

FIGURE = Path(__file__).resolve().parents[2] / "docs" / "pipelines" / "odelia_preprocessing.png"
SCAN = Scan(size=(200, 130, 48), spacing=(1.9, 1.9, 2.6), turn=(0, 0, 14))


def main() -> None:
    """Prepare one oblique examination and draw every step."""
    with tempfile.TemporaryDirectory() as folder:
        write_examination(Path(folder), SCAN)
        phases = choose_phases(read_headers(Path(folder))[0], load_rules(None))
        stacks = {role: stack_phase(phase, role) for role, phase in phases.items()}
        images = {role: read_stack(stack) for role, stack in stacks.items()}
    grid = Grid()
    breasts = cut_breasts(images["Pre"], images["Post_1"], grid)
    ratios = {"width_ratios": [SCAN.size[0] / SCAN.size[1]] * 2 + [2, 1, 1]}
    figure, panels = plt.subplots(1, 5, figsize=(15, 2.75), layout="constrained", gridspec_kw=ratios)
    for panel, (role, image) in zip(panels, images.items(), strict=False):
        _acquired(panel, role, image, stacks[role])
    whole, body = (
        np.concatenate([getattr(breasts[side], name) for side in ("left", "right")])
        for name in ("subtraction", "post")
    )
    _canonical(panels[2], whole, body, grid)
    for panel, (side, breast) in zip(panels[3:], breasts.items(), strict=True):
        size = " × ".join(map(str, grid.size))
        _show(panel, breast.subtraction, breast.post, f"{side} breast, {size}\nSub_1.nii.gz", grid)
    figure.savefig(FIGURE, dpi=110, metadata={"Software": None})


def _acquired(panel: Axes, role: str, image: Any, stack: Stack) -> None:
    plane = sitk.GetArrayFromImage(image)[stack.size[2] // 2]
    panel.imshow(plane, cmap="gray", vmin=0, vmax=800, aspect=stack.spacing[1] / stack.spacing[0])
    size = " × ".join(map(str, stack.size))
    spacing = " × ".join(f"{step:g}" for step in stack.spacing)
    panel.set_title(f"{role}, as acquired (14° oblique)\n{size} voxels of {spacing} mm", fontsize=9)
    panel.set_axis_off()


def _canonical(panel: Axes, whole: np.ndarray, body: np.ndarray, grid: Grid) -> None:
    _show(
        panel, whole, body, "Post_1 − Pre along the patient's axes\n0.7 × 0.7 × 3 mm; the line divides", grid
    )
    panel.axvline(0, color="#ffb000", linewidth=1)


def _show(panel: Axes, volume: np.ndarray, body: np.ndarray, title: str, grid: Grid) -> None:
    """The maximum intensity projection from feet to head, with the outline of the body."""
    wide = volume.shape[0] * grid.spacing_mm[0] / 2
    deep = volume.shape[1] * grid.spacing_mm[1]
    panel.imshow(
        volume.max(axis=2).T[::-1, ::-1], cmap="gray", vmin=0, vmax=500, extent=(-wide, wide, 0, deep)
    )
    outline = body[..., body.shape[2] // 2].T[:, ::-1]
    panel.contour(outline, [150], colors="0.6", linewidths=0.7, extent=(-wide, wide, 0, deep))
    panel.set_title(title, fontsize=9)
    panel.set_xticks([])
    panel.set_yticks([])


if __name__ == "__main__":
    main()
