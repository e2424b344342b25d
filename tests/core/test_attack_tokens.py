"""Every attack is refused, every good token beside them accepted, by both cores and for the same reason."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from attacks import Attack, attacks, shared_vectors

from doorward import Refused, _pure

ATTACKS = attacks()
BIG = 1_000_000  # so that the giant tokens meet what lies behind the bound on their size


def outcome(core: ModuleType, attack: Attack, **settings: int) -> str:
    """``accepted``, ``misconfigured``, or the slug of the refusal."""
    try:
        verifier = attack.verifier(core, **settings)
    except ValueError:
        return "misconfigured"
    except Refused as refused:
        return refused.code
    return outcome_of(verifier, attack)


def outcome_of(verifier: Any, attack: Attack) -> str:
    try:
        verifier.verify(attack.token, now=attack.now, certificate_sha256=attack.certificate)
    except Refused as refused:
        return refused.code
    return "accepted"


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_the_verdict_is_right(core: ModuleType, attack: Attack) -> None:
    found = outcome(core, attack)
    assert (found == "accepted") is attack.accept, f"{found}: {attack.why}"


def test_no_verdict_depends_on_the_tokens_before(core: ModuleType) -> None:
    # A verifier knows headers again: here each sees every token that is made for one like it, twice.
    alike: dict[str, list[Attack]] = {}
    for attack in ATTACKS:
        alike.setdefault(repr((attack.keys, attack.config)), []).append(attack)
    for group in alike.values():
        try:
            verifier = group[0].verifier(core)
        except (ValueError, Refused):
            continue
        for attack in group * 2:
            assert outcome_of(verifier, attack) == outcome(core, attack), attack.name


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_both_cores_name_the_same_reason(core: ModuleType, attack: Attack) -> None:
    assert outcome(core, attack) == outcome(_pure, attack)
    assert outcome(core, attack, max_token_bytes=BIG) == outcome(_pure, attack, max_token_bytes=BIG)


@pytest.mark.parametrize(
    "attack", [one for one in ATTACKS if "depth" in one.name or "brackets" in one.name], ids=lambda attack: attack.name
)
def test_deep_nesting_is_refused_whatever_the_size_allowed(core: ModuleType, attack: Attack) -> None:
    assert outcome(core, attack, max_token_bytes=BIG) == "malformed_token"


def test_they_are_the_tokens_that_were_made_for_this_project() -> None:
    originals = shared_vectors("attack_tokens.json")["cases"]
    assert [one.token for one in ATTACKS] == [one["token"] for one in originals]
    assert [one.keys for one in ATTACKS] == [one["keys"] for one in originals]
    assert [one.accept for one in ATTACKS] == [one["expect"] == "accept" for one in originals]
    for one, original in zip(ATTACKS, originals, strict=True):
        config = original["config"]
        if "trusted" in config:
            config["trusted"] = [{"issuer": issuer["issuer"], "keys": issuer["jwks"]} for issuer in config["trusted"]]
        assert one.config == config
