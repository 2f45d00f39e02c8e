"""Cases in several processes: their results, and one that is killed."""

from __future__ import annotations

import os

import pytest

from mediswarm.data.prepare.workers import in_processes
from mediswarm.errors import RunCrashed


@pytest.mark.parametrize("workers", [1, 2])
def test_every_result_comes(workers: int) -> None:
    assert sorted(in_processes(abs, [-1, -2, 3], workers)) == [1, 2, 3]


def test_a_process_that_is_killed_is_a_coded_error() -> None:
    with pytest.raises(RunCrashed, match="killed from outside") as caught:
        # as a kill for want of memory: no result, no exception
        list(in_processes(os._exit, [9, 9], 2))
    assert caught.value.code == "MS-X024"
    assert "--workers" in caught.value.repair
