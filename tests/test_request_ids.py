"""Every request has an id that nobody else has."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from doorward.request_ids import request_id


def test_an_id_is_96_random_bits() -> None:
    assert re.fullmatch(r"[0-9a-f]{24}", request_id())


def test_no_two_are_the_same_in_any_thread() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = [each for some in pool.map(lambda _: [request_id() for _ in range(2_000)], range(8)) for each in some]
    assert len(set(made)) == 16_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_forked_worker_has_others_than_its_parent() -> None:
    request_id()  # some are ready
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(theirs, "".join(request_id() for _ in range(300)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(theirs)
    with os.fdopen(ours) as told:
        text = told.read()
    of_the_child = {text[at : at + 24] for at in range(0, len(text), 24)}
    assert len(of_the_child) == 300
    assert not of_the_child & {request_id() for _ in range(600)}
