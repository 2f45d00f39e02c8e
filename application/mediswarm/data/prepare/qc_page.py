"""The page of quality control: every breast's picture, what is remarkable first."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from mediswarm.data.prepare.case import CaseOutcome
from mediswarm.data.prepare.manifest import Manifest
from mediswarm.data.prepare.outliers import unusual
from mediswarm.data.prepare.output import QC, picture_file, write_whole_file
from mediswarm.data.prepare.phases import ROLES


def write_qc_page(root: Path, manifests: Sequence[Manifest], failed: Sequence[CaseOutcome]) -> Path:
    """Write `qc/index.html`, one page that needs nothing else; it holds pseudonyms and images."""
    remarks = unusual(manifests)
    breasts = [
        {
            "uid": uid,
            "remarks": remarks.get(uid, []),
            "picture": b64encode(picture_file(root, uid).read_bytes()).decode(),
            "breast": breast,
            "inputs": {role: manifest.inputs[role] for role in ROLES if role in manifest.inputs},
        }
        for manifest in manifests
        for uid, breast in manifest.breasts.items()
    ]
    breasts.sort(key=lambda entry: (not entry["remarks"], entry["uid"]))
    environment = Environment(
        loader=PackageLoader("mediswarm.data.prepare", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("qc.html.j2").render(
        breasts=breasts,
        cases=len(manifests),
        remarkable=len(remarks),
        failed=failed,
        tags=sorted({manifest.preprocessing for manifest in manifests}),
    )
    page = root / QC / "index.html"
    write_whole_file(page, text.encode())
    return page
