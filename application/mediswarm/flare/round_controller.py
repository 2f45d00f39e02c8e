"""The server's end of a run in NVFlare: ask sites, and wait within the round budget."""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from collections.abc import Callable

from nvflare.apis.client import Client
from nvflare.apis.controller_spec import ClientTask, Task
from nvflare.apis.fl_context import FLContext
from nvflare.apis.impl.controller import Controller
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

from mediswarm.aggregation.ledger import Ledger
from mediswarm.errors import MediSwarmError, RunCrashed, RunFailed, code_of
from mediswarm.flare.event_answers import answer_on_events
from mediswarm.flare.garbage import collect_often
from mediswarm.flare.job_folder import deployed_job, export_run, run_folder
from mediswarm.flare.messages import INTRODUCE, error_in, prepare_tensors, receive_on_disk, unpack
from mediswarm.pipelines.find import load_pipeline
from mediswarm.spec import Job
from mediswarm.training.crossing import Introduction

log = logging.getLogger(__name__)

POLL_S = 0.02
"""How often the server looks for answers; NVFlare's default of 0.2 s and more is paid at every task."""

Accept = Callable[[str, Shareable], None]


class RoundController(Controller):
    """What server and swarm workflows share: the order of a run and the asking.

    Args:
        job: the name of the MediSwarm job in the deployed app.
        run_id: the run that this NVFlare job belongs to.
        segment: the number of this NVFlare job in the run.
        rounds: how many rounds it does at most.
        sites: who is to take part.
    """

    def __init__(self, job: str, run_id: str, segment: int, rounds: int, sites: list[str]) -> None:
        super().__init__(task_check_period=POLL_S)
        self.job, self.run_id, self.segment, self.rounds, self.sites = job, run_id, segment, rounds, sites

    def start_controller(self, fl_ctx: FLContext) -> None:
        prepare_tensors()
        collect_often()
        folder = run_folder(fl_ctx, self.run_id)
        answer_on_events(fl_ctx, folder)
        receive_on_disk(fl_ctx, folder / "incoming")

    def stop_controller(self, fl_ctx: FLContext) -> None:
        """Nothing is held beyond the run."""

    def control_flow(self, abort_signal: Signal, fl_ctx: FLContext) -> None:
        """Run the job from the first introduction to the record; every end is written there."""
        job = deployed_job(fl_ctx, self.job)
        ledger: Ledger | None = None
        try:
            ledger = self.prepare(job, fl_ctx)
            self.run(abort_signal, fl_ctx)
        except MediSwarmError as error:
            self._end(ledger or self._early_ledger(job, fl_ctx), error, fl_ctx)
        except Exception as error:
            log.exception("the run ended unexpectedly")
            code = code_of(error)
            what = f"{type(error).__name__} in the server's workflow"
            if code == "MS-H004":
                what = "the disk of the server's scratch directory is full"
            crash = RunCrashed("MS-R008" if code == "MS-R001" else code, what)
            self._end(ledger or self._early_ledger(job, fl_ctx), crash, fl_ctx)
        finally:
            export_run(run_folder(fl_ctx, self.run_id), fl_ctx)

    @abstractmethod
    def prepare(self, job: Job, fl_ctx: FLContext) -> Ledger:
        """Set up the run's state; gives its ledger."""

    @abstractmethod
    def run(self, abort_signal: Signal, fl_ctx: FLContext) -> None:
        """The segment's rounds, and after the last round of the run the final judgement."""

    def ask(
        self,
        task: str,
        message: Shareable,
        sites: list[str],
        budget: float,
        abort_signal: Signal,
        fl_ctx: FLContext,
        accept: Accept,
    ) -> dict[str, str]:
        """Put one task to `sites` and wait until all have answered or the budget ends.

        Args:
            task: name of the task.
            message: the same for every site; must not be changed meanwhile.
            sites: whom to ask.
            budget: seconds.
            abort_signal: ends the waiting.
            fl_ctx: NVFlare's context.
            accept: called with each good answer, one at a time; an error it raises
                counts as that site's.

        Returns:
            for every site that gave no good answer, the code of the reason.

        Raises:
            RunFailed: MS-R007 when the run is aborted.
        """
        failed: dict[str, str] = {}
        answered: set[str] = set()

        def received(client_task: ClientTask, fl_ctx: FLContext) -> None:  # noqa: ARG001 - NVFlare's signature
            site, answer = client_task.client.name, client_task.result
            client_task.result = None  # NVFlare would keep every site's tensors until the task ends
            code = error_in(answer)
            if code is None:
                try:
                    accept(site, answer)
                except MediSwarmError as error:
                    log.warning("answer of %s to %s was refused: %s", site, task, error)
                    code = error.code
                except Exception:  # NVFlare would swallow it, and the site would seem silent
                    log.exception("answer of %s to %s could not be taken", site, task)
                    code = "MS-R008"
            if code is not None:
                failed[site] = code
            answered.add(site)

        asked = Task(name=task, data=message, timeout=int(budget) + 1, result_received_cb=received)
        # NVFlare 2.9 deep-copies a broadcast's data once, to guard against controllers
        # that change it meanwhile; ours does not, and a copy of the model is dear.
        asked._broadcast_data = message  # noqa: SLF001
        self.broadcast(asked, fl_ctx, targets=sites, min_responses=len(sites))
        while asked.completion_status is None and not self.waits_in_vain(sites, answered):
            if abort_signal.triggered:
                self.cancel_task(asked)
                raise RunFailed("MS-R007", "the run was aborted")
            time.sleep(POLL_S)
        if asked.completion_status is None:
            self.cancel_task(asked)
        silent = [site for site in sites if site not in answered]
        return failed | {site: self._why_silent(site) for site in silent}

    def waits_in_vain(self, sites: list[str], answered: set[str]) -> bool:
        """Whether those that have not answered are all gone, so that waiting for them is idle."""
        silent = [site for site in sites if site not in answered]
        return bool(silent) and all(self.get_client_disconnect_time(site) is not None for site in silent)

    def _why_silent(self, site: str) -> str:
        """A site that NVFlare knows to be gone was lost; any other had no time left (R1)."""
        return "MS-R005" if self.get_client_disconnect_time(site) is None else "MS-R006"

    def process_result_of_unknown_task(
        self, client: Client, task_name: str, client_task_id: str, result: Shareable, fl_ctx: FLContext
    ) -> None:
        """An answer after its task ended is recorded as late and otherwise ignored (R4)."""
        log.warning("late answer of %s to task %s is ignored", client.name, task_name)

    def introduced(
        self, budget: float, abort_signal: Signal, fl_ctx: FLContext
    ) -> tuple[dict[str, Introduction], dict[str, str]]:
        """Let all sites of the segment introduce themselves (R3: those late in coming up are waited for).

        Returns:
            what each site said, and for each other one the code of the reason.
        """
        there = [client.name for client in fl_ctx.get_engine().get_clients()]
        said: dict[str, Introduction] = {}
        refusals = self.ask(
            INTRODUCE,
            Shareable(),
            [site for site in self.sites if site in there],
            budget,
            abort_signal,
            fl_ctx,
            lambda site, answer: said.__setitem__(site, unpack(Introduction, answer)),
        )
        return said, refusals | {site: "MS-R006" for site in self.sites if site not in there}

    def _end(self, ledger: Ledger, error: MediSwarmError, fl_ctx: FLContext) -> None:
        log.error("%s", error)
        ledger.fail(error)
        self.system_panic(f"{error.code}: {error.message}", fl_ctx)

    def _early_ledger(self, job: Job, fl_ctx: FLContext) -> Ledger:
        return Ledger(job, load_pipeline(job), run_folder(fl_ctx, self.run_id), self.run_id)
