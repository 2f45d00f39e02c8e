"""The benchmark's training as a script for NVFlare's Client API: no line of MediSwarm's in it."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import nvflare.client as flare
import torch
from model import stack


def main(width: int, depth: int, seconds: Path) -> None:
    """Twenty steps a round, as the bare loop does; appends the seconds of each round to a file."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    model = stack(width, depth)
    inputs, targets = torch.randn(320, width), torch.arange(320) % 2
    flare.init()
    while flare.is_running():
        received = flare.receive()
        arrived = time.time()
        started = time.perf_counter()
        model.load_state_dict(received.params)
        with torch.inference_mode():
            accuracy = float(model(inputs[:32]).argmax(1).eq(targets[:32]).float().mean())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
        for step in range(20):
            batch = slice(step * 16, step * 16 + 16)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(inputs[batch]), targets[batch]).backward()
            optimizer.step()
        with seconds.open("a") as stream:
            stream.write(json.dumps({"at": arrived, "s": time.perf_counter() - started}) + "\n")
        flare.send(
            flare.FLModel(
                params=model.state_dict(),
                metrics={"accuracy": accuracy},
                meta={"NUM_STEPS_CURRENT_ROUND": 20},
            )
        )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]) / f"train-{os.getpid()}.jsonl")
