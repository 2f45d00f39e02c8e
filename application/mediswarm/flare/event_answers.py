"""While a segment runs, the operator may ask its server for the run's record and its latest events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nvflare.apis.fl_context import FLContext

EVENTS = "mediswarm.events"
"""Topic of NVFlare's app command; its data may hold `after`, the number of events that are known already."""


def answer_on_events(fl_ctx: FLContext, folder: Path) -> None:
    """Answer :data:`EVENTS` from the run directory `folder` as long as this NVFlare job lives."""

    def answer(topic: str, data: Any, fl_ctx: FLContext) -> dict[str, Any]:  # noqa: ARG001 - NVFlare's signature
        after = data.get("after", 0) if isinstance(data, dict) else 0
        return {"events": written_events(folder)[after:], "record": _record(folder)}

    fl_ctx.get_engine().register_app_command(EVENTS, answer)


def written_events(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of a run's events.jsonl."""
    file = folder / "events.jsonl"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def _record(folder: Path) -> dict[str, Any] | None:
    file = folder / "run.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
