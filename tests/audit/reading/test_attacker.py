"""Without the key, nothing that was signed can be changed: after any sequence of changes to the files, a trail that
verifies is as `Promise` says."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from audit.reading.attacker import ATTACKS, TIMES, Attacker, Promise, read, write
from conftest import Proof, Tell
from signing import PUBLIC_PEM
from written import Writer, a_trail

from doorward.audit.reading.verify import heads_of, load_public_keys, verify


@pytest.mark.parametrize("remembered", [False, True], ids=["the key alone", "with --remember"])
def test_a_trail_that_verifies_is_as_promised(
    tmp_path: Path, proof: Proof, tell: Tell, seed: int, remembered: bool
) -> None:
    rng = random.Random(seed)
    key, directory = tmp_path / "key.pem", tmp_path / "trail"
    key.write_bytes(PUBLIC_PEM)
    directory.mkdir()
    public_keys = load_public_keys([key])
    a_trail(directory)
    four = Writer(directory, "four", name="other.jsonl", every=3, beside=lambda since: ("three",), at=1_800_000_090.0)
    four.calls(3)
    four.sign()
    genuine = read(directory)
    whole = verify([directory], public_keys=public_keys)
    assert whole.intact
    promise = Promise(_chains(genuine), heads_of(whole))
    assert promise.broken(genuine, since=None, remembered=True) is None

    intact: Counter[str] = Counter()
    for _ in range(proof("attacks on a trail", small=600, large=200_000)):
        attacker = Attacker(rng, genuine)
        acts = [attacker.act() for _ in range(rng.choice([1, 1, 2, 3, 4]))]
        since = rng.choice([None, None, *TIMES])
        write(directory, attacker.files)
        found = verify(
            [directory],
            public_keys=public_keys,
            since=since,
            heads=promise.heads if remembered else (),
            pause=lambda: None,
        )
        if found.intact:
            broken = promise.broken(attacker.files, since=since, remembered=remembered)
            assert broken is None, (acts, since, broken, {name: len(lines) for name, lines in attacker.files.items()})
            intact["+".join(acts)] += 1
    count = sum(intact.values())
    tell(f"{len(ATTACKS)} kinds of change; {count:,} left what is promised: {dict(intact.most_common(5))}")
    assert count > 20, "the promise was tried too seldom"


def _chains(genuine: dict[str, list[bytes]]) -> list[list[bytes]]:
    one = [line for name, lines in sorted(genuine.items()) if name.startswith("audit.one.") for line in lines]
    return [one + genuine["audit.jsonl"], genuine["audit.two.jsonl"], genuine["other.jsonl"]]
