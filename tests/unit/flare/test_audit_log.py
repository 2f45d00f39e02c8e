"""NVFlare's audit log does not grow without end, and loses no line at a border."""

from __future__ import annotations

import logging.config
from collections.abc import Iterator
from pathlib import Path

import pytest
from nvflare.fuel.sec.audit import AuditService

from mediswarm.flare.audit_log import BoundedAuditor, bound_audit_log


@pytest.fixture(autouse=True)
def no_auditor() -> Iterator[None]:
    AuditService.close()
    yield
    AuditService.close()


def test_nvflares_process_writes_through_it(tmp_path: Path) -> None:
    for folder in ("startup", "local"):
        (tmp_path / folder).mkdir()
    (tmp_path / "audit.log").write_text("of an earlier process\n")
    bound_audit_log(["client", "-m", str(tmp_path), "-s", "fed_client.json"])
    AuditService.initialize(str(tmp_path / "audit.log"))
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})  # as NVFlare's process does
    AuditService.add_event("operator", "submit_job", msg="job one")
    former, event = (tmp_path / "audit.log").read_text().splitlines()
    assert former == "of an earlier process"
    assert event.endswith("[U:operator][A:submit_job]job one")
    assert isinstance(AuditService.get_auditor(), BoundedAuditor)


def test_its_size_is_bounded_and_no_line_is_lost_before_the_last_file(tmp_path: Path) -> None:
    file = tmp_path / "audit.log"
    auditor = BoundedAuditor(str(file), limit=1000, former=3)
    for number in range(60):
        auditor.add_event("operator", "submit_job", msg=f"job {number:03}")
    auditor.close()
    names = ["audit.log.3", "audit.log.2", "audit.log.1", "audit.log"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    kept = [(tmp_path / name).read_text() for name in names]
    assert max(map(len, kept)) <= 1000
    numbers = [int(line[-3:]) for line in "".join(kept).splitlines()]
    assert numbers == list(range(numbers[0], 60)), "whole, and in order"
    assert 0 < numbers[0] < 60
