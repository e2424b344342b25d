"""The state that travels by the client: whatever is changed, left out or moved is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.confirmation.state import ASKED, MAX_STATE, State, new_nonce, read
from doorward.errors import Forbidden

KEY, OTHER = b"k" * 32, b"o" * 32
STATE = State(ASKED, "r-1", 1_800_000_600.0, 0, None)
TEXTS = st.text(max_size=50)


@given(
    st.builds(State, st.sampled_from(["asked", "running"]), TEXTS, st.floats(0, 2e9), st.integers(0, 32), TEXTS), TEXTS
)
def test_what_was_sealed_is_read_again(state: State, binding: str) -> None:
    nonce = new_nonce()
    unread = read(state.sealed(nonce, key=KEY, binding=binding))
    assert unread.nonce == nonce
    assert unread.verified(key=KEY, binding=binding) == state


@pytest.mark.parametrize(("key", "binding"), [(OTHER, "b"), (KEY, "c"), (KEY, ""), (KEY, "b.")])
def test_it_is_good_for_one_key_and_one_call(key: bytes, binding: str) -> None:
    with pytest.raises(Forbidden) as refused:
        read(STATE.sealed("n", key=KEY, binding="b")).verified(key=key, binding=binding)
    assert refused.value.code == "confirmation_invalid"


def test_no_binding_takes_over_a_part_of_the_state() -> None:
    whole = STATE.sealed("n", key=KEY, binding="b")
    for length in range(1, 12):
        with pytest.raises(Forbidden):
            read(whole).verified(key=KEY, binding=f"b{whole[:length]}")


@given(st.data())
def test_every_change_is_refused(data: st.DataObject) -> None:
    whole = STATE.sealed(new_nonce(), key=KEY, binding="b")
    position = data.draw(st.integers(0, len(whole) - 1))
    put = data.draw(st.characters(max_codepoint=0x17F) | st.just(""))
    changed = f"{whole[:position]}{put}{whole[position + 1 :]}"
    if changed == whole:
        return
    with pytest.raises(Forbidden) as refused:
        read(changed).verified(key=KEY, binding="b")
    assert refused.value.code == "confirmation_invalid"


@given(st.text(max_size=200) | st.from_regex(r"doorward1(\.[A-Za-z0-9_=-]*){3}", fullmatch=True))
def test_what_is_no_state_is_refused(text: str) -> None:
    with pytest.raises(Forbidden) as refused:
        read(text).verified(key=KEY, binding="b")
    assert refused.value.code == "confirmation_invalid"


def test_its_size_is_bounded_both_ways() -> None:
    with pytest.raises(ValueError, match="too large"):
        State(ASKED, "r-1", 0.0, 0, "x" * MAX_STATE).sealed("n", key=KEY, binding="b")
    with pytest.raises(Forbidden):
        read(f"doorward1.n.{'x' * MAX_STATE}.x")
