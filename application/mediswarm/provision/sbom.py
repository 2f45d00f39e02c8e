"""The software bill of materials of an image, as CycloneDX 1.5 (ECMA-424)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from mediswarm import __version__
from mediswarm.provision.installed import Component


def bill_of_materials(components: Sequence[Component]) -> dict[str, Any]:
    """The document; the same for the same components, without time or serial number."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "mediswarm",
                "name": "mediswarm",
                "version": __version__,
                "licenses": [{"license": {"id": "MIT"}}],
            }
        },
        "components": [_entry(component) for component in components if component.name != "mediswarm"],
    }


def _entry(component: Component) -> dict[str, Any]:
    kind = "pypi" if component.kind == "python" else "deb/debian"
    url = f"pkg:{kind}/{quote(component.name, safe='')}@{quote(component.version, safe='')}"
    entry = {
        "type": "library",
        "bom-ref": url,
        "name": component.name,
        "version": component.version,
        "purl": url,
    }
    if component.licence:
        return entry | {"licenses": [{"license": {"name": component.licence}}]}
    return entry
