"""Which budgets a call spends, and what a caller over one of them is told."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest

from doorward.errors import Limited
from doorward.limits import Spender
from doorward.principal import Principal
from doorward.settings import Budget, Limits, MethodRule, PromptRule, Rule, ToolRule

SECOND = 1_000_000_000


def caller(subject: str = "user-1", client: str | None = "agent-1", organization: str | None = "acme") -> Principal:
    return Principal("https://as.example.com", subject, client, organization, ("read",), None, 0.0)


def at_once(waiting: Coroutine[Any, Any, Any]) -> Any:
    """The result of what has nothing to wait for: budgets in this process hold up no event loop."""
    with pytest.raises(StopIteration) as done:
        waiting.send(None)
    return done.value.value


class Calls:
    """A spender, and how many of some calls it admits."""

    def __init__(self, **limits: Any) -> None:
        self.tick = 0
        self.spender = Spender(Limits(**limits), tick=lambda: self.tick)

    def admit(self, rule: Rule | None, principal: Principal | None = None, *, governed: bool = True) -> Any:
        spending = self.spender.spending(principal or caller(), rule, governed=governed)
        return at_once(self.spender.admit(spending, tick=self.tick))

    def admitted(self, rule: Rule | None, principal: Principal | None = None, *, governed: bool = True) -> int:
        """Of ten calls, how many go through."""
        return sum(self._is_admitted(rule, principal, governed=governed) for _ in range(10))

    def _is_admitted(self, rule: Rule | None, principal: Principal | None, *, governed: bool) -> bool:
        try:
            self.admit(rule, principal, governed=governed)
        except Limited:
            return False
        return True


PLAIN = ToolRule("*", scopes=[])
LIMITED = ToolRule("delete_*", scopes=[], limit=["3/minute"])
SHARED = ToolRule("delete_*", scopes=[], total_limit=["3/minute"])


# --- whose bucket -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(caller("user-2"), id="another subject"),
        pytest.param(caller(client="agent-2"), id="another client"),
        pytest.param(caller(client=None), id="no client"),
    ],
)
@pytest.mark.parametrize("limits", [{}, {"organization": ["100/minute"]}], ids=["", "with an organisation"])
def test_callers_have_budgets_of_their_own(limits: dict[str, Any], other: Principal) -> None:
    calls = Calls(client=["4/minute"], **limits)
    assert (calls.admitted(LIMITED), calls.admitted(LIMITED)) == (3, 0)
    assert calls.admitted(LIMITED, other) == 3
    assert (calls.admitted(PLAIN), calls.admitted(PLAIN, other)) == (1, 1)


def test_everyone_together_shares_a_total() -> None:
    calls = Calls()
    assert calls.admitted(SHARED) == 3
    assert calls.admitted(SHARED, caller("user-2", "agent-2", "other")) == 0


def test_an_organisation_shares_its_budget_and_no_other_s() -> None:
    calls = Calls(organization=["3/minute"])
    assert calls.admitted(PLAIN) == 3
    assert calls.admitted(PLAIN, caller("user-2")) == 0
    assert calls.admitted(PLAIN, caller(organization="other")) == 3
    assert calls.admitted(PLAIN, caller(organization=None)) == 3
    assert calls.admitted(PLAIN, caller("user-2", organization=None)) == 0


def test_rules_have_budgets_of_their_own() -> None:
    calls = Calls()
    for rule in (LIMITED, ToolRule("read", [], limit=["3/minute"]), PromptRule("delete_*", [], limit=["3/minute"])):
        assert calls.admitted(rule) == 3


def test_messages_that_are_no_calls_spend_what_a_method_rule_says_alone() -> None:
    calls = Calls(client=["1/minute"], organization=["1/minute"])
    assert calls.admitted(None, governed=False) == 10
    assert calls.admitted(MethodRule("tools/list", [], limit=["2/minute"]), governed=False) == 2
    assert calls.admitted(PLAIN) == 1


def test_a_changed_limit_keeps_what_was_spent() -> None:
    calls = Calls()
    assert calls.admitted(LIMITED) == 3
    assert calls.admitted(ToolRule("delete_*", [], limit=["5/minute"])) <= 2


@pytest.mark.parametrize("long", ["x" * 200_000, "\ud800"], ids=["longer than any key", "a lone surrogate"])
def test_no_claim_is_too_long_for_a_key(long: str) -> None:
    calls = Calls(client=["4/minute"])
    assert calls.admitted(LIMITED, caller(client=long)) == 3


# --- what it costs ----------------------------------------------------------------------------------------------------


def test_all_or_nothing() -> None:
    calls = Calls(client=["5/minute"])
    assert calls.admitted(LIMITED) == 3
    assert calls.admitted(PLAIN) == 2


@pytest.mark.parametrize(
    ("rule", "admitted"),
    [
        (ToolRule("a", [], limit=["9/minute"], cost=3), 3),
        (ToolRule("a", [], limit=["9/minute"], cost=0), 10),
        (ToolRule("a", [], limit=["0/minute"]), 0),
        (ToolRule("a", [], limit=[Budget("9/minute", strict=True)]), 4),
        (ToolRule("a", [], limit=["9/minute", "2/day"]), 2),
        (ToolRule("a", [], limit=["9/minute burst 2"]), 2),
        (ToolRule("a", [], limit=["2/minute"], mode="observe"), 10),
        (ToolRule("a", [], limit=[Budget("2/minute", mode="observe"), "5/day"]), 5),
    ],
    ids=["cost", "no cost", "nothing", "strict", "the tightest", "burst", "an observed rule", "an observed budget"],
)
def test_of_ten_calls(rule: Rule, admitted: int) -> None:
    assert Calls().admitted(rule) == admitted


def test_an_observed_budget_tells_what_it_would_refuse() -> None:
    calls = Calls(client=[Budget("1/minute", mode="observe")])
    spending = calls.spender.spending(caller(), PLAIN, governed=True)
    assert calls.admit(PLAIN).would_deny == ()
    assert calls.spender.names(spending, calls.admit(PLAIN).would_deny) == ("client",)


@pytest.mark.parametrize(("cost", "left"), [(0, 4), (1, 3), (4, 0), (6, -2)], ids=["nothing", "as said", "all", "debt"])
def test_a_call_costs_what_it_is_settled_at(cost: int, left: int) -> None:
    calls = Calls(client=["4/minute"])
    at_once(calls.spender.settle(calls.admit(PLAIN), cost))
    assert calls.admitted(PLAIN) == max(left, 0)
    calls.tick += -left * 15 * SECOND if left < 0 else 0
    assert calls.admitted(PLAIN) == 0
    calls.tick += 15 * SECOND
    assert calls.admitted(PLAIN) == 1


def test_without_a_store_each_instance_takes_its_share() -> None:
    assert Calls(client=["9/minute"], instances=3).admitted(PLAIN) == 3


def test_what_spends_nothing_asks_nobody() -> None:
    assert Calls(client=[]).admit(PLAIN) is None
    assert Calls().admit(None, governed=False) is None


# --- what a caller is told --------------------------------------------------------------------------------------------


def refused(calls: Calls, rule: Rule, principal: Principal | None = None) -> Limited:
    calls.admitted(rule, principal)
    with pytest.raises(Limited) as limited:
        calls.admit(rule, principal)
    return limited.value


@pytest.mark.parametrize(
    ("limits", "rule", "told"),
    [
        ({}, LIMITED, ("delete_*", "3/minute", "client", 20.0)),
        ({}, SHARED, ("delete_*", "3/minute", "total", 20.0)),
        ({"client": ["2/minute"]}, LIMITED, ("client", "2/minute", "client", 30.0)),
        ({"organization": ["1/hour"]}, LIMITED, ("organization", "1/hour", "organization", 3600.0)),
        ({"client": ["3/minute", "3/hour"]}, LIMITED, ("client", "3/hour", "client", 1200.0)),
    ],
    ids=["rule", "total", "client", "organisation", "several: the longest wait"],
)
def test_it_is_told_in_the_words_of_the_configuration(
    limits: dict[str, Any], rule: Rule, told: tuple[str, str, str, float]
) -> None:
    limited = refused(Calls(**limits), rule)
    assert (limited.budget, limited.limit, limited.scope, limited.retry_after) == told
    assert (limited.code, limited.remaining) == ("rate_limited", 0)


def test_every_violated_budget_is_named() -> None:
    limited = refused(Calls(client=["3/minute"], organization=["3/minute"]), LIMITED)
    assert set(limited.violated) == {"client", "organization", "delete_*"}


def test_what_is_left_is_told_though_it_is_not_enough() -> None:
    calls = Calls(client=["5/minute"])
    calls.admit(ToolRule("a", [], cost=2))
    limited = refused(calls, ToolRule("b", [], cost=4))
    assert (limited.budget, limited.remaining, limited.retry_after) == ("client", 3, 12.0)


def test_what_never_fits_is_told_so() -> None:
    limited = refused(Calls(client=["5/minute"]), ToolRule("a", [], cost=6))
    assert (limited.code, limited.retry_after, limited.retryable) == ("cost_exceeds_limit", None, False)
    assert (limited.budget, limited.remaining) == ("client", 5)


def test_it_goes_on_exactly_when_it_was_told_to() -> None:
    calls = Calls()
    wait = refused(calls, LIMITED).retry_after
    assert wait is not None
    calls.tick = int(wait * SECOND) - 1
    with pytest.raises(Limited):
        calls.admit(LIMITED)
    calls.tick += 1
    calls.admit(LIMITED)


def test_nothing_about_other_callers_is_told() -> None:
    limited = refused(Calls(client=["1/minute"]), LIMITED)
    assert all(part not in repr((vars(limited), limited.args)) for part in ("agent-1", "user-1", "acme", "as.example"))


def test_budgets_are_described_a_line_each() -> None:
    spender = Spender(Limits(client=["600/minute"], organization=["9/second"], handshake="20/minute", concurrency=None))
    rule = ToolRule("a", [], limit=[Budget("6/minute", strict=True, mode="observe")], total_limit=["60/hour"], cost=2)
    assert list(spender.describe(rule)) == [
        "spends 2 of 9/second for organization",
        "spends 2 of 600/minute for client",
        "spends 2 of 6/minute strict for a (client) (observed)",
        "spends 2 of 60/hour for a (total)",
        "opening a session or a stream spends 1 of 20/minute for handshake (client)",
    ]


def test_slots_are_described_as_well() -> None:
    spender = Spender(Limits(client=[], concurrency=8))
    assert list(spender.describe(ToolRule("a", [], concurrency=2, mode="observe"))) == [
        "at most 2 in flight for a (client) (observed)",
        "at most 8 in flight for client (client)",
        "opening a session or a stream spends 1 of 120/minute for handshake (client)",
    ]
