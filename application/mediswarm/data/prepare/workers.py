"""Cases prepared in several processes, none of which outlives the one that started them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from mediswarm.data.worker_process import end_with_parent
from mediswarm.errors import RunCrashed

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


def in_processes(
    function: Callable[[_Task], _Result], tasks: Sequence[_Task], workers: int
) -> Iterator[_Result]:
    """Results of the tasks as they come; with one worker, in this process.

    Raises:
        RunCrashed: MS-X024 a process was killed, as happens when memory runs out.
    """
    if workers == 1:
        yield from map(function, tasks)
        return
    # threads of numeric libraries do not survive a fork
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, max(1, len(tasks))), context, end_with_parent) as pool:
        futures = [pool.submit(function, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise RunCrashed("MS-X024", "a process that prepared cases was killed from outside") from error
        finally:
            # after an error or an interrupt only the cases in work are finished; nothing writes after this
            pool.shutdown(wait=True, cancel_futures=True)
