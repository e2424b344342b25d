"""``doorward audit keygen`` and ``fingerprint``: the keys of the trail."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from doorward.arguments import hash_arguments
from doorward.audit.keys import key_name
from doorward.cli.saying import fail
from doorward.errors import Malformed
from doorward.extras import install
from doorward.settings import MIN_KEY_BYTES, Secret

__all__ = ["fingerprint", "keygen"]

_MAX_BYTES = 4 * 1024 * 1024
"""Of arguments: as large as a request may be by default."""

_MAX_KEY_BYTES = 512 * 1024
"""Of a key's file: as much as a server reads."""


def keygen(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="For the private key; the public one goes to FILE.pub.")],
) -> None:
    """Make a key pair for signed checkpoints (Ed25519): the private key signs, the public one verifies."""
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
    except ModuleNotFoundError:
        fail(f"making a key needs cryptography: {install('cli', 'pure')}")
    from doorward.audit.checkpoints import key_id

    private = Ed25519PrivateKey.generate()
    public = private.public_key()
    public_file = file.with_name(f"{file.name}.pub")
    _write_new(file, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o600)
    _write_new(public_file, public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), mode=0o644)
    print(f"{file}: the private key, for the server alone. In its doorward.toml:", file=sys.stderr)
    print(f'[audit]\ncheckpoint = {{ key = {{ file = "{file}", id = "{key_id(public)}" }} }}')
    print(
        f"{public_file}: the public key. Keep a copy where nobody who can write the trail can write:\n"
        f"doorward audit verify audit.jsonl --public-key {public_file}",
        file=sys.stderr,
    )


def fingerprint(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The arguments, a JSON object; - for the standard input.")
    ] = Path("-"),
    key_file: Annotated[Path | None, typer.Option(metavar="FILE", help="The key that records are made with.")] = None,
    key_env: Annotated[str | None, typer.Option(metavar="NAME", help="The same from the environment.")] = None,
) -> None:
    """Print the fingerprint of a call's arguments, to search the trail for it. They are never taken from the command
    line: other users of the machine could read them there."""
    key = _key(key_file, key_env)
    arguments = _arguments(file)
    if not arguments.lstrip().startswith(b"{"):
        fail(f'{_named(file)} is not a JSON object: a call\'s arguments are one, like {{"id": 7}}')
    if key is not None and key_file is not None:
        print(f"records made with this key: their hash_key ends with {_key_digits(key)}", file=sys.stderr)
    try:
        print(hash_arguments(arguments, key=key))
    except Malformed:
        fail(f"{_named(file)} is not strict JSON: UTF-8, no member twice, nothing behind the object")


def _arguments(file: Path) -> bytes:
    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(_MAX_BYTES + 1)
        else:
            with file.open("rb") as opened:
                data = opened.read(_MAX_BYTES + 1)
    except OSError as error:
        fail(f"{file}: {error.strerror}: give the file that holds the arguments, or - for the standard input")
    if len(data) > _MAX_BYTES:
        fail(f"{_named(file)} is larger than {_MAX_BYTES} bytes: no call has such arguments")
    return data


def _key(file: Path | None, variable: str | None) -> bytes | None:
    """The key as a server reads it: without white space around it."""
    if file is not None and variable is not None:
        fail("--key-file and --key-env both name the key: give one of them")
    if file is not None:
        try:
            with file.open("rb") as opened:
                key = opened.read(_MAX_KEY_BYTES).strip()
        except OSError as error:
            fail(f"{file}: {error.strerror}: --key-file names the file of the key in [audit]")
    elif variable is not None:
        key = os.fsencode(os.environ.get(variable, ""))
    else:
        return None
    if len(key) < MIN_KEY_BYTES:
        where = file or f"the environment variable {variable}"
        fail(f"{where} has {len(key)} bytes: a key has at least {MIN_KEY_BYTES}, and no server starts with this one")
    return key


def _key_digits(key: bytes) -> str:
    return key_name(Secret(key, file="any"))


def _named(file: Path) -> str:
    return "the standard input" if str(file) == "-" else str(file)


def _write_new(path: Path, content: bytes, *, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except FileExistsError:
        fail(f"{path} is there already, and a key is never overwritten: choose another name, or move it away")
    except OSError as error:
        fail(f"{path}: {error.strerror}: check the path, and that this user may write there")
