"""Whatever is done to a trail by someone without the key shows, and the first bad line is named."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Proof, Tell
from signing import PUBLIC_PEM
from written import a_trail

from doorward.audit.reading.file_order import in_order
from doorward.audit.reading.files import trail_files
from doorward.audit.reading.lines import hash_of, parse_line
from doorward.audit.reading.verify import heads_of, load_public_keys, verify

Lines = list[bytes]
Named = set[int] | None
"""Lines one of which must be named; None where any finding will do, because a neighbouring file is named."""


def edit(rng: random.Random, lines: Lines) -> Named:
    """Another byte in place of one."""
    number = rng.randrange(len(lines))
    line = bytearray(lines[number])
    place = rng.randrange(len(line))
    line[place] = rng.choice([byte for byte in range(256) if byte not in (line[place], 10)])
    lines[number] = bytes(line)
    return {number + 1}


def edit_a_hash(rng: random.Random, lines: Lines) -> Named:
    """Another digit in a hash, a number or a signature: what looks as it should."""
    number = rng.randrange(len(lines))
    digits = [place for place, byte in enumerate(lines[number]) if 48 <= byte < 58]
    place = rng.choice(digits[-80:])
    line = bytearray(lines[number])
    line[place] = 48 + (line[place] - 48 + rng.randrange(1, 10)) % 10
    lines[number] = bytes(line)
    return {number + 1}


def edit_a_member(rng: random.Random, lines: Lines) -> Named:
    """Another value of a member, as an attacker would write it."""
    number = rng.randrange(len(lines))
    for old, new in ((b'"read"', b'"send"'), (b'"success"', b'"denied_scope"'), (b".25", b".26"), (b"2027", b"2026")):
        if old in lines[number]:
            lines[number] = lines[number].replace(old, new, 1)
            return {number + 1}
    lines[number] += b" "
    return {number + 1}


def delete(rng: random.Random, lines: Lines) -> Named:
    """Some lines, but not the file's last."""
    number = rng.randrange(len(lines) - 1)
    del lines[number : rng.randrange(number + 1, min(number + 4, len(lines)))]
    return {number + 1} if number else None


def insert_a_copy(rng: random.Random, lines: Lines) -> Named:
    """A line that stands elsewhere too."""
    number = rng.randrange(1, len(lines))
    lines.insert(number, rng.choice(lines))
    return {number, number + 1, number + 2}


def insert_a_forgery(rng: random.Random, lines: Lines) -> Named:
    """A new line with the right number and hash."""
    number = rng.randrange(1, len(lines))
    before = parse_line(lines[number - 1])
    if before is None:
        return edit(rng, lines)
    made = lines[number - 1].partition(b',"instance":')[0]
    made += b',"instance":%b,"sequence":%d,' % (before.instance, before.sequence + 1)
    lines.insert(number, made + b'"previous":"sha256:%b"}' % hash_of(lines[number - 1]))
    return {number + 1}


def insert_text(rng: random.Random, lines: Lines) -> Named:
    """Anything else."""
    number = rng.randrange(1, len(lines) + 1)
    lines.insert(number, rng.choice([b"", b"{}", b"null", b"# nothing to see", rng.randbytes(8).replace(b"\n", b"")]))
    return {number + 1}


def swap(rng: random.Random, lines: Lines) -> Named:
    """Two lines."""
    one, other = sorted(rng.sample(range(len(lines)), 2))
    lines[one], lines[other] = lines[other], lines[one]
    return {one + 1} if one else None


def join(rng: random.Random, lines: Lines) -> Named:
    """A newline taken out."""
    number = rng.randrange(len(lines) - 1)
    lines[number : number + 2] = [lines[number] + lines[number + 1]]
    return {number + 1} if number else None


def split(rng: random.Random, lines: Lines) -> Named:
    """A newline put in."""
    number = rng.randrange(len(lines))
    place = rng.randrange(len(lines[number]) + 1)
    lines[number : number + 1] = [lines[number][:place], lines[number][place:]]
    return None if number == 0 else {number + 1, number + 2}


def replay(rng: random.Random, lines: Lines) -> Named:
    """Some lines once more at the end: a valid checkpoint among them, perhaps."""
    count = len(lines)
    lines += lines[rng.randrange(count) :]
    return {count, count + 1}


def empty(rng: random.Random, lines: Lines) -> Named:
    """All lines taken out."""
    del lines[:]
    return None


def cut(rng: random.Random, lines: Lines) -> Named:
    """The end of the file cut off; that of a chain's last file shows against an earlier verification alone."""
    del lines[rng.randrange(1, len(lines)) :]
    return None


MUTATIONS: list[Callable[[random.Random, Lines], Named]] = [
    *(edit, edit_a_hash, edit_a_member, delete, insert_a_copy, insert_a_forgery, insert_text),
    *(swap, join, split, replay, empty, cut),
]


def test_every_change_is_found_and_named(
    tmp_path: Path, proof: Proof, tell: Tell, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(seed)
    key = tmp_path / "key.pem"
    key.write_bytes(PUBLIC_PEM)
    public_keys = load_public_keys([key])
    directory = tmp_path / "trail"
    directory.mkdir()
    a_trail(directory)
    files = {path: path.read_bytes() for path in sorted(directory.iterdir())}
    heads = heads_of(verify([directory], public_keys=public_keys))

    tried: Counter[str] = Counter()
    for _ in range(proof("changes to a trail", small=500, large=50_000)):
        mutate = rng.choice(MUTATIONS)
        path = rng.choice(list(files))
        lines = files[path].split(b"\n")[:-1]
        torn = {number for number, line in enumerate(lines, 1) if parse_line(line) is None}
        expected = mutate(rng, lines)
        content = b"".join(line + b"\n" for line in lines)
        if content == files[path]:
            continue
        path.write_bytes(content)
        # What is read at once is a few thousand lines: where it ends must not matter.
        monkeypatch.setattr("doorward.audit.reading.files._BLOCK_BYTES", rng.choice([500, 1500, 10_000, 4_000_000]))
        found = verify([directory], public_keys=public_keys, heads=heads, pause=lambda: None)
        said = [str(problem) for problem in found.problems]
        assert said, f"{mutate.__name__} of {path.name}: nothing was found: {expected}"
        if expected is not None:
            first = found.problems[0].place
            assert first.path == path, f"{mutate.__name__} of {path.name}: {said}"
            # A torn line is one because of the start behind it: without that, it is the first that cannot be right.
            assert first.line in expected | torn & {number - 1 for number in expected}, (
                f"{mutate.__name__} of {path.name}, {expected}: {said}"
            )
        tried[mutate.__name__] += 1
        path.write_bytes(files[path])
    tell(", ".join(f"{name} {count:,}" for name, count in sorted(tried.items())) + ": all found")


@pytest.mark.parametrize("gone", range(4))
def test_a_file_that_is_gone_is_found(tmp_path: Path, gone: int) -> None:
    a_trail(tmp_path)
    heads = heads_of(verify([tmp_path]))
    sorted(tmp_path.iterdir())[gone].unlink()
    assert not verify([tmp_path], pause=lambda: None).intact
    assert not verify([tmp_path], heads=heads, pause=lambda: None).intact


def test_files_given_in_any_order_are_read_in_theirs(tmp_path: Path) -> None:
    a_trail(tmp_path)
    with trail_files([tmp_path]) as files:
        for order in (files, files[::-1]):
            assert sorted(len(chain) for chain in in_order(order)) == [1, 3]
