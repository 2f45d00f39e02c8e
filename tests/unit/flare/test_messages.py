"""What crosses arrives as it was sent, and holds nothing but the declared fields."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
import torch
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.apis.utils.decomposers import flare_decomposers
from nvflare.fuel.utils import fobs

from mediswarm.aggregation.quorum import require_quorum
from mediswarm.error_codes import ERROR_CODES
from mediswarm.errors import RunCrashed, RunFailed, RunTimedOut
from mediswarm.flare.messages import error_in, pack, pack_error, prepare_tensors, unpack
from mediswarm.training.crossing import Contribution, Introduction, Judgement, JudgeOrder, Order

WEIGHTS = {
    "w": torch.arange(6.0).reshape(2, 3),
    "batches": torch.tensor(7),
    "half": torch.ones(2, dtype=torch.bfloat16),
}
COUNTS = {"cases": [12.0], "confusion": [1.0, 0.0, 0.0, 11.0]}
MESSAGES = [
    Introduction("0" * 64, {"mediswarm": "1"}, {"classes": ["a", "b"]}, {"train": 3}, COUNTS, ("accuracy",)),
    Order(3, WEIGHTS, COUNTS, control=None),
    Order(3, WEIGHTS, COUNTS, control=WEIGHTS, validate=False),
    Contribution(3, 120, 8, 0.5, WEIGHTS, events=4.0, metrics=COUNTS, seconds={"train": 1.5}),
    Judgement(COUNTS, {}, 0.25),
    JudgeOrder(None, {}, keep_predictions=True),
]


@pytest.fixture(autouse=True)
def decomposers() -> None:
    flare_decomposers.register()
    prepare_tensors()


def sent(message: Shareable) -> Shareable:
    found: Shareable = fobs.loads(fobs.dumps(message))
    return found


def assert_equal(found: Any, expected: Any) -> None:
    if isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert_equal(found[key], value)
    else:
        assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize("value", MESSAGES, ids=lambda value: type(value).__name__)
def test_a_message_arrives_as_it_was_sent(value: Any) -> None:
    found = unpack(type(value), sent(pack(value)))
    for field in fields(value):
        assert_equal(getattr(found, field.name), getattr(value, field.name))


@pytest.mark.parametrize("value", MESSAGES, ids=lambda value: type(value).__name__)
def test_a_message_holds_the_declared_fields_and_nvflares_headers_alone(value: Any) -> None:
    assert set(pack(value)) - set(Shareable()) == {field.name for field in fields(value)}


def test_tensors_are_not_copied_into_a_message() -> None:
    assert pack(Order(0, WEIGHTS, {}))["weights"]["w"] is WEIGHTS["w"]


def test_an_incomplete_message_is_refused() -> None:
    message = pack(MESSAGES[0])
    del message["contract"]
    with pytest.raises(RunCrashed, match="Introduction came without contract") as caught:
        unpack(Introduction, message)
    assert caught.value.code == "MS-R008"


def test_an_error_is_a_code_and_nothing_else() -> None:
    message = sent(pack_error("MS-D110"))
    assert error_in(message) == "MS-D110"
    assert len(set(message) - set(Shareable())) == 1
    assert error_in(pack(MESSAGES[0])) is None


@pytest.mark.parametrize(
    ("returned", "code"),
    [
        (ReturnCode.OK, None),
        (ReturnCode.TASK_ABORTED, "MS-R007"),
        (ReturnCode.EXECUTION_EXCEPTION, "MS-R006"),
        (ReturnCode.COMMUNICATION_ERROR, "MS-R006"),
    ],
)
def test_nvflares_own_failures_have_codes(returned: str, code: str | None) -> None:
    assert error_in(make_reply(returned)) == code


SITES = ["aachen", "berlin", "cork"]


@pytest.mark.parametrize(
    ("failed", "quorum", "error"),
    [
        ({}, "all", None),
        ({"berlin": "MS-H003"}, 2, None),
        ({"berlin": "MS-H003"}, "all", RunFailed("MS-R002", "")),
        ({"berlin": "MS-R005"}, "all", RunTimedOut("MS-R005", "")),
        ({"berlin": "MS-R005", "cork": "MS-R006"}, 2, RunCrashed("MS-R006", "")),
        ({"berlin": "MS-R005", "cork": "MS-H003"}, 2, RunFailed("MS-R002", "")),
        ({"berlin": "MS-H004"}, "all", RunCrashed("MS-H004", "")),
        ({"berlin": "MS-R006", "cork": "MS-H004"}, 2, RunCrashed("MS-H004", "")),
        ({"berlin": "MS-R004", "cork": "MS-H004"}, 2, RunFailed("MS-R002", "")),
    ],
    ids=str,
)
def test_a_quorum_tells_slow_from_failed(failed: dict[str, str], quorum: Any, error: Any) -> None:
    if error is None:
        require_quorum(failed, SITES, quorum, "judgement")
        return
    with pytest.raises(type(error)) as caught:
        require_quorum(failed, SITES, quorum, "judgement")
    assert caught.value.code == error.code
    reasons = {site: f"{site} ({code}: {ERROR_CODES[code].title})" for site, code in failed.items()}
    if isinstance(error, RunTimedOut):
        reasons = {site: site for site in failed}
    assert caught.value.message.endswith(", ".join(reasons.values()))


def test_tensors_are_not_copied_into_each_receivers_message() -> None:
    piece = bytes(100_000)
    parts = fobs.dumps({"data": [piece]}, buffer_list=True)
    assert any(part is piece for part in parts)
    assert fobs.loads(parts) == {"data": [piece]}
