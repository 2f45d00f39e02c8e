"""Steps in a round, and the learning rate over the run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediswarm.spec import LocalWork, Schedule, Training
from mediswarm.training.pace import batches_per_round, learning_rate_factor, steps_per_round


def training(local: dict[str, object], batch_size: int = 16, accumulate: int = 1) -> Training:
    return Training(local=LocalWork.model_validate(local), batch_size=batch_size, accumulate=accumulate)


@pytest.mark.parametrize(
    ("local", "cases", "accumulate", "batches", "steps"),
    [
        ({"epochs": 1}, 16, 1, 1, 1),
        ({"epochs": 1}, 17, 1, 2, 2),
        ({"epochs": 3}, 17, 1, 6, 6),
        ({"epochs": 3}, 17, 4, 6, 2),
        ({"steps": 100}, 5, 1, 100, 100),
        ({"steps": 100}, 5000, 4, 400, 100),
        ({"epochs_scaled": {"reference_cases": 320}}, 320, 1, 20, 20),
        ({"epochs_scaled": {"reference_cases": 320}}, 80, 1, 20, 20),
        ({"epochs_scaled": {"reference_cases": 320}}, 10, 1, 10, 10),
        ({"epochs_scaled": {"reference_cases": 320, "maximum": 40}}, 10, 1, 32, 32),
        ({"epochs_scaled": {"reference_cases": 320}}, 6400, 1, 400, 400),
        ({"epochs_scaled": {"reference_cases": 320, "minimum": 2}}, 6400, 1, 800, 800),
    ],
)
def test_the_work_of_a_round(
    local: dict[str, object], cases: int, accumulate: int, batches: int, steps: int
) -> None:
    given_ = training(local, accumulate=accumulate)
    assert batches_per_round(given_, cases) == batches
    assert steps_per_round(given_, cases) == steps


@given(
    cases=st.integers(1, 10**5),
    reference=st.integers(1, 10**5),
    low=st.integers(1, 5),
    more=st.integers(0, 9),
)
def test_scaled_epochs_are_clamped(cases: int, reference: int, low: int, more: int) -> None:
    work = {"epochs_scaled": {"reference_cases": reference, "minimum": low, "maximum": low + more}}
    epochs = batches_per_round(training(work, batch_size=cases), cases)
    assert low <= epochs <= low + more
    if low < epochs < low + more:
        assert abs(epochs - reference / cases) <= 0.5


@pytest.mark.parametrize(
    ("schedule", "at"),
    [
        (Schedule(), {0.0: 1.0, 0.5: 1.0, 1.0: 1.0}),
        (Schedule(name="linear"), {0.0: 1.0, 0.25: 0.75, 1.0: 0.0}),
        (Schedule(name="linear", final=0.2), {0.0: 1.0, 0.5: 0.6, 1.0: 0.2}),
        (Schedule(name="cosine"), {0.0: 1.0, 0.5: 0.5, 1.0: 0.0}),
        (Schedule(name="cosine", final=0.1), {0.5: 0.55, 1.0: 0.1}),
        (Schedule(name="constant", warmup=0.2), {0.0: 0.0, 0.1: 0.5, 0.2: 1.0, 0.9: 1.0}),
        (Schedule(name="linear", warmup=0.5), {0.25: 0.5, 0.5: 1.0, 0.75: 0.5, 1.0: 0.0}),
    ],
)
def test_schedules(schedule: Schedule, at: dict[float, float]) -> None:
    for progress, factor in at.items():
        assert learning_rate_factor(schedule, progress) == pytest.approx(factor, abs=1e-12)


@given(
    progress=st.floats(0, 1),
    name=st.sampled_from(["constant", "cosine", "linear"]),
    warmup=st.floats(0, 0.9),
    final=st.floats(0, 1),
)
def test_the_factor_is_a_share(progress: float, name: str, warmup: float, final: float) -> None:
    final = 0.0 if name == "constant" else final
    factor = learning_rate_factor(Schedule(name=name, warmup=warmup, final=final), progress)  # type: ignore[arg-type]
    assert -1e-9 <= factor <= 1 + 1e-9
    if progress >= warmup and name != "constant":
        assert factor >= final - 1e-9
