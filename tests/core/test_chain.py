"""`Chain`: the lines of a trail, over both implementations."""

from __future__ import annotations

import hashlib
import json
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

HASH = "sha256:" + "0" * 64


def test_a_line_has_its_instance_its_number_and_the_hash_of_the_one_before(core: ModuleType) -> None:
    chain = core.Chain("i-1")
    first, second = chain.seal('{"n":1'), chain.seal('{"n":2')
    assert first == b'{"n":1,"instance":"i-1","sequence":1,"previous":null}\n'
    assert json.loads(second) == {
        "n": 2,
        "instance": "i-1",
        "sequence": 2,
        "previous": f"sha256:{hashlib.sha256(first[:-1]).hexdigest()}",
    }


def test_a_chain_goes_on_where_another_ended(core: ModuleType) -> None:
    line = json.loads(core.Chain("b", sequence=41, previous=HASH).seal("{" + '"n":1'))
    assert (line["sequence"], line["previous"]) == (42, HASH)


def test_a_lost_record_leaves_its_number_out(core: ModuleType) -> None:
    chain = core.Chain("a")
    chain.skip()
    assert json.loads(chain.seal('{"n":1'))["sequence"] == 2


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=20), min_size=1, max_size=5))
def test_a_line_begun_and_ended_is_the_line_sealed(core: ModuleType, texts: list[str]) -> None:
    records = [f'{{"text":{json.dumps(text, ensure_ascii=False)}' for text in texts]
    whole, parts = core.Chain("a"), core.Chain("a")
    for record in records:
        line = parts.begin(record) + b"}"
        parts.end(line)
        assert whole.seal(record) == line + b"\n"


@pytest.mark.parametrize("instance", ['a"b', "a\\b", "a\nb", "a b", "é", "a\x7f"], ids=ascii)
def test_an_instance_that_json_would_escape_is_refused(core: ModuleType, instance: str) -> None:
    with pytest.raises(ValueError, match="instance"):
        core.Chain(instance)


@pytest.mark.parametrize("previous", ["", "sha256:", "sha256:" + "0" * 63, "md5:" + "0" * 64, "sha256:" + "g" * 64])
def test_what_is_no_hash_is_refused(core: ModuleType, previous: str) -> None:
    with pytest.raises(ValueError, match="previous"):
        core.Chain("a", previous=previous)


@pytest.mark.parametrize("sequence", [-1, 1 << 64])
def test_a_number_that_no_line_can_have_is_refused(core: ModuleType, sequence: int) -> None:
    with pytest.raises(OverflowError):
        core.Chain("a", sequence=sequence)
