"""What a site keeps between rounds beside the shared model, so that a run survives the site's process."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import safetensors
import safetensors.torch

from mediswarm.errors import ArtefactError
from mediswarm.pipelines.learner import Weights


class SiteState:
    """Local parameters, the optimizer's moments and the control variate, after each round.

    Files are `<folder>/<n>.safetensors`, n being the rounds behind it. The
    newest two stay: a round that the others did not commit is trained again
    from the state before it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writer = ThreadPoolExecutor(max_workers=1)
        self._writing: Future[None] | None = None

    def save(self, rounds: int, values: Weights) -> None:
        """Write the state after `rounds` rounds while the site goes on; copies are made first.

        Raises:
            OSError: what became of the write before this one, such as a full disk.
        """
        self.wait()
        copies = {name: value.detach().cpu().clone().contiguous() for name, value in values.items()}
        self._writing = self._writer.submit(self._write, rounds, copies)

    def load(self, rounds: int | None) -> Weights:
        """The newest state with at most `rounds` rounds behind it (None: the newest); empty if there is none.

        Raises:
            ArtefactError: MS-A003 when the file cannot be read.
        """
        self.wait()
        kept = [number for number in self._numbers() if rounds is None or number <= rounds]
        if not kept:
            return {}
        file = self._file(max(kept))
        try:
            state: Weights = safetensors.torch.load_file(file)
        except (OSError, safetensors.SafetensorError) as error:
            raise ArtefactError("MS-A003", "the site's state of the run cannot be read", file=file) from error
        return state

    def wait(self) -> None:
        """Return when nothing is being written."""
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def _write(self, rounds: int, values: Weights) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / ".partial"
        safetensors.torch.save_file(values, partial)
        partial.replace(self._file(rounds))
        for number in self._numbers():
            if number < rounds - 1 or number > rounds:
                self._file(number).unlink()

    def _numbers(self) -> list[int]:
        return [int(file.stem) for file in self.folder.glob("[0-9]*.safetensors")]

    def _file(self, rounds: int) -> Path:
        return self.folder / f"{rounds}.safetensors"
