"""What handlers see of a decision, and what nobody does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from guarded import Guarded

import toolgate

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_there_is_no_decision_outside_of_a_call() -> None:
    assert toolgate.current() is None


async def test_its_repr_tells_nothing_about_the_caller(guarded: Callable[..., Guarded]) -> None:
    decision = await guarded().call("read_order", "read", client_id="a-very-private-client")
    assert "private" not in repr(decision)
    assert decision.request_id in repr(decision)
    decision.close()
