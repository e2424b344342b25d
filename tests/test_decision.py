"""What handlers see of a decision, and what nobody does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from guarded import Guarded

import doorward

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_there_is_no_decision_outside_of_a_call() -> None:
    assert doorward.current() is None


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
