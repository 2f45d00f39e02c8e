"""A site that has pinned job hashes runs those jobs and no others."""

from __future__ import annotations

from typing import Any

import pytest

from mediswarm.errors import ContractError, UsageError
from mediswarm.flare.consent import require_accepted


def test_without_pins_any_job_is_accepted(make_job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDISWARM_ACCEPT_JOBS", raising=False)
    require_accepted(make_job(), "site-1")


def test_a_pinned_job_is_accepted_and_a_changed_one_refused(
    make_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job()
    monkeypatch.setenv("MEDISWARM_ACCEPT_JOBS", f"{'0' * 64}, {job.hash}")
    require_accepted(job, "site-1")
    changed = job.varied(config={"cases": 60})
    with pytest.raises(ContractError, match=changed.hash) as caught:
        require_accepted(changed, "site-1")
    assert caught.value.code == "MS-C007"


@pytest.mark.parametrize("pins", ["deadbeef", "0" * 63, f"{'0' * 64} {'1' * 64}"])
def test_what_is_no_hash_is_an_error_and_no_refusal_of_everything(
    pins: str, make_job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDISWARM_ACCEPT_JOBS", pins)
    with pytest.raises(UsageError, match="no job's hash") as caught:
        require_accepted(make_job(), "site-1")
    assert caught.value.code == "MS-U004"
