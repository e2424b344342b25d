"""Failed attempts: counted by address, and never held against a stranger."""

from __future__ import annotations

import pytest

from doorward.errors import Limited
from doorward.limits import FailedAttempts
from doorward.settings import Budget, Limits


def failures(attempts: FailedAttempts, address: str) -> int:
    """How many failures of the address are taken before one is too many."""
    return sum(_is_taken(attempts, address) for _ in range(10))


def _is_taken(attempts: FailedAttempts, address: str) -> bool:
    try:
        attempts.record(address, tick=0)
    except Limited:
        return False
    return True


@pytest.mark.parametrize(
    ("address", "same", "other"),
    [
        pytest.param("192.0.2.7", "::ffff:192.0.2.7", "192.0.2.8", id="IPv4"),
        pytest.param("::ffff:192.0.2.7", "192.0.2.7", "::ffff:192.0.2.8", id="IPv4 in IPv6 is nobody else's"),
        pytest.param("2001:db8::7", "2001:DB8:0:0:ffff::", "2001:db8:0:1::7", id="IPv6 by its /64"),
        pytest.param("fe80::7%eth0", "fe80::8%eth1", "fe80:0:0:1::7", id="whatever the zone"),
        pytest.param("unix", "unix", "testclient", id="no address"),
    ],
)
def test_failures_are_counted_by_address(address: str, same: str, other: str) -> None:
    attempts = FailedAttempts(Limits(failed_auth="3/minute"))
    assert failures(attempts, address) == 3
    assert failures(attempts, same) == 0
    assert failures(attempts, other) == 3


def test_observed_failures_refuse_nobody() -> None:
    attempts = FailedAttempts(Limits(failed_auth=Budget("3/minute", mode="observe")))
    assert failures(attempts, "192.0.2.7") == 10


def test_too_many_failures_are_told_by_their_budget() -> None:
    attempts = FailedAttempts(Limits(failed_auth="3/minute"))
    failures(attempts, "192.0.2.7")
    with pytest.raises(Limited) as limited:
        attempts.record("192.0.2.7", tick=0)
    told = limited.value
    assert (told.code, told.budget, told.limit) == ("too_many_failures", "failed_auth", "3/minute")
    assert (told.scope, told.window, told.retry_after) == ("failed_auth", "minute", 20.0)


def test_strangers_do_not_answer_for_a_flood_that_fills_the_table() -> None:
    attempts = FailedAttempts(Limits(failed_auth="1/day", max_keys=16))
    for number in range(200):
        failures(attempts, f"192.0.2.{number}")
    assert failures(attempts, "198.51.100.1") == 10
    assert failures(attempts, "192.0.2.0") == 0, "known, and over its budget"


def test_new_tokens_are_paced_in_a_full_table_too() -> None:
    attempts = FailedAttempts(Limits(failed_auth="1/day", max_keys=1))
    failures(attempts, "192.0.2.7")
    for number in range(50):
        failures(attempts, f"198.51.100.{number}")
    assert paced(attempts, "192.0.2.7") == 50


def test_a_flood_of_new_tokens_from_one_address_leaves_room_for_those_from_another() -> None:
    attempts = FailedAttempts(Limits(failed_auth="1/day"))
    for address in ("192.0.2.7", "198.51.100.1", "198.51.100.2"):
        failures(attempts, address)
    assert paced(attempts, "192.0.2.7") == 50
    assert paced(attempts, "198.51.100.1") == 50
    assert paced(attempts, "198.51.100.2") == 0, "so many in the whole process"


def paced(attempts: FailedAttempts, address: str) -> int:
    """How many new tokens of the address, which is over its budget, are verified at once."""
    for count in range(200):
        try:
            attempts.pace(address, tick=0)
        except Limited:
            return count
    return 200
