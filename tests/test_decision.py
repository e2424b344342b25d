"""What handlers see of a decision, and what nobody does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from guarded import Guarded

import doorward
from doorward.decision import current_decision

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_there_is_no_decision_outside_of_a_call() -> None:
    assert doorward.current() is None


@pytest.mark.parametrize(
    ("closed", "running", "has_run", "exchange_is_over", "has_ended"),
    [
        pytest.param(False, 0, False, False, False, id="not begun"),
        pytest.param(False, 1, False, True, False, id="runs on without its client"),
        pytest.param(True, 1, False, True, False, id="a notification whose handler still runs"),
        pytest.param(True, 0, False, False, False, id="recorded, and the app still runs"),
        pytest.param(True, 0, True, False, True, id="its handler has returned"),
        pytest.param(True, 0, False, True, True, id="the app has returned"),
    ],
)
async def test_when_a_call_has_ended(
    guarded: Callable[..., Guarded], closed: bool, running: int, has_run: bool, exchange_is_over: bool, has_ended: bool
) -> None:
    decision = await guarded().call("read_order", "read")
    decision.running, decision.has_run, decision.exchange_is_over = running, has_run, exchange_is_over
    if closed:
        decision.close()
    assert decision.has_ended is has_ended
    token = current_decision.set(decision)
    assert doorward.current() is (None if has_ended else decision)
    current_decision.reset(token)
    decision.close()


async def test_its_repr_tells_nothing_about_the_caller(guarded: Callable[..., Guarded]) -> None:
    decision = await guarded().call("read_order", "read", client_id="a-very-private-client")
    assert "private" not in repr(decision)
    assert decision.request_id in repr(decision)
    decision.close()


async def test_a_refusal_of_what_is_closed_writes_no_second_record(guarded: Callable[..., Guarded]) -> None:
    it = guarded()
    decision = await it.call("read_order", "read")
    decision.close()
    decision.refuse(doorward.Forbidden("no_rule"))
    assert [record["result"] for record in it.records()] == ["success"]
