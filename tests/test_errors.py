"""The tree of refusals: every reason has a status and words, and none repeats what was sent."""

from __future__ import annotations

import ast
import copy
import pickle
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from doorward.errors import CODES, Forbidden, Limited, Malformed, Refused, Unauthenticated, Unavailable, refusal

ROOT = Path(__file__).parents[1]
CLASSES = {
    400: Malformed,
    401: Unauthenticated,
    403: Forbidden,
    404: Forbidden,
    405: Malformed,
    408: Malformed,
    413: Malformed,
    414: Malformed,
    415: Malformed,
    429: Limited,
    503: Unavailable,
}
SECRET = "hunter2-do-not-repeat"


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_a_slug_with_a_status_and_words(code: str) -> None:
    status, words = CODES[code]
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", code)
    assert status in CLASSES
    # They stand in a quoted string of WWW-Authenticate (RFC 6750 section 3: no quote, no backslash, printable ASCII).
    assert re.fullmatch(r"[\x20\x21\x23-\x5b\x5d-\x7e]+", words)
    assert words[0].islower() or words.startswith("HTTP")
    assert not words.endswith(".")


@pytest.mark.parametrize("code", CODES)
def test_every_code_makes_the_class_of_its_status(code: str) -> None:
    made = refusal(code, "a detail")
    assert type(made) is CLASSES[made.status]
    assert (made.code, made.detail, made.status, made.description) == (code, "a detail", *CODES[code])
    assert str(made) == f"{code}: a detail"
    assert str(refusal(code)) == f"{code}: {made.description}"


def test_an_unknown_code_is_a_bug() -> None:
    with pytest.raises(KeyError):
        refusal("no_such_code")


@pytest.mark.parametrize(
    "made",
    [
        refusal("no_rule", "a detail"),
        Forbidden(code="insufficient_scope", required_scopes=("read",)),
        Limited(code="rate_limited", retry_after=1.0, budget="client"),
        Unavailable("store_unavailable", retry_after=2.0),
    ],
    ids=lambda made: made.code,
)
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))])  # noqa: S301 - its own bytes
def test_a_refusal_travels(made: Refused, again: Callable[[Refused], Refused]) -> None:
    """Between processes, and through whatever copies what it raises again."""
    other = again(made)
    assert (type(other), str(other), vars(other)) == (type(made), str(made), vars(made))


def test_codes_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        CODES["bad_signature"] = (200, "fine")  # type: ignore[index]


def test_every_refusal_of_the_core_has_its_words(core: ModuleType) -> None:
    assert set(core.REFUSALS) <= CODES.keys()
    assert len(set(core.REFUSALS)) == len(core.REFUSALS)


def test_both_cores_know_the_same_refusals() -> None:
    enum = (ROOT / "rust" / "refusal.rs").read_text(encoding="utf-8")
    slugs = re.findall(r'Self::\w+ => "(\w+)"', enum)
    pure = pytest.importorskip("doorward._pure")
    assert sorted(pure.REFUSALS) == sorted(slugs)


def test_every_code_that_is_raised_exists() -> None:
    raised = set()
    for path in (ROOT / "python" / "doorward").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"refusal", *_CLASS_NAMES} and node.args:
                first = node.args[0]
                raised |= {first.value} if isinstance(first, ast.Constant) else set()
    assert raised <= CODES.keys()


_CLASS_NAMES = {made.__name__ for made in CLASSES.values()}


@pytest.mark.parametrize(
    ("made", "retryable"),
    [
        pytest.param(refusal("bad_signature"), False, id="401"),
        pytest.param(Forbidden("no_rule"), False, id="403"),
        pytest.param(Limited("rate_limited", retry_after=2.5), True, id="429 that waiting helps"),
        pytest.param(Limited("cost_exceeds_limit"), False, id="429 that never fits"),
        pytest.param(Unavailable("store_unavailable"), True, id="503"),
        pytest.param(refusal("invalid_json"), False, id="400"),
    ],
)
def test_retryable_says_whether_the_same_call_may_succeed_later(made: Refused, retryable: bool) -> None:
    assert made.retryable is retryable


def test_the_facts_of_a_refusal_are_attributes() -> None:
    assert Forbidden("insufficient_scope", required_scopes=("a",)).required_scopes == ("a",)
    limited = Limited("rate_limited", retry_after=1.5, budget="delete_*", violated=("x", "y"))
    assert (limited.retry_after, limited.budget, limited.violated) == (1.5, "delete_*", ("x", "y"))
    assert Unavailable("audit_unavailable", retry_after=3.0).retry_after == 3.0


FED: dict[str, Callable[[Any], object]] = {
    "a key set": lambda core: core.KeySet.from_json(f'{{"keys": "{SECRET}"'),
    "a key set that is none": lambda core: core.KeySet.from_json(f'"{SECRET}"'),
    "arguments": lambda core: core.hash_arguments(f'{{"password": "{SECRET}", }}'.encode()),
    "a body": lambda core: core.read_envelope(f'{{"method": "{SECRET}"'.encode()),
    "a body of the wrong shape": lambda core: core.read_envelope(f'{{"{SECRET}": 1}}'.encode()),
    "a token": lambda core: core.verify_jws(f"{SECRET}.e30.AAAA", core.KeySet.from_json('{"keys": []}'), ["ES256"]),
    "a token in UTF-8": lambda core: core.verify_jws(f"{SECRET}ü", core.KeySet.from_json('{"keys": []}'), ["ES256"]),
}


@pytest.mark.parametrize("feed", FED.values(), ids=FED)
def test_a_refusal_never_repeats_what_was_sent(core: ModuleType, feed: Callable[[Any], object]) -> None:
    with pytest.raises(Refused) as refused:
        feed(core)
    shown = "".join(traceback.format_exception(refused.value))
    assert SECRET not in f"{refused.value!s} {refused.value!r} {refused.value.args} {_without_source(shown)}"


def _without_source(shown: str) -> str:
    # The lines of source that a traceback quotes are ours, not the caller's; they are indented by four.
    return "\n".join(line for line in shown.splitlines() if not line.startswith("    "))
