"""The attack tokens of ``tests/vectors``, unfolded: key sets are named, configurations are what differs from the common
one, and giant tokens are described instead of stored.

A described token is a list of its parts; a part is text, a list of pieces, or ``{"encode": pieces}`` for the base64url
of the pieces; a piece is text, or says what to repeat (with ``count``, numbering it and joining by commas).
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("DOORWARD_VECTORS", ROOT.parent / "shared" / "vectors"))


@dataclass(frozen=True)
class Attack:
    """One token, what to configure, and what must become of it."""

    name: str
    why: str
    token: str
    accept: bool
    keys: Any
    config: dict[str, Any]

    def verifier(self, core: ModuleType, **settings: Any) -> Any:
        """What the configuration of the case describes."""
        trusted = self.config.get("trusted") or [{"issuer": one, "keys": self.keys} for one in self._issuers]
        verifiers = [self._verifier(core, one["issuer"], one["keys"], settings) for one in trusted]
        return verifiers[0] if len(verifiers) == 1 else core.Verifiers(verifiers)

    @property
    def now(self) -> float:
        return float(self.config["now"])

    @property
    def certificate(self) -> str | None:
        presented: dict[str, str | None] = self.config.get("presented", {})
        return presented.get("client_cert_sha256")

    @property
    def _issuers(self) -> list[str]:
        issuer = self.config["issuer"]
        return issuer if isinstance(issuer, list) else [issuer]

    def _verifier(self, core: ModuleType, issuer: str, keys: Any, settings: dict[str, Any]) -> Any:
        given = {name: self.config[name] for name in ("audience", "algorithms", "leeway")}
        given |= {ours: self.config[theirs] for theirs, ours in _OPTIONS.items() if theirs in self.config}
        return core.Verifier(core.KeySet.from_json(json.dumps(keys)), issuer=issuer, **(given | settings))


_OPTIONS = {"typ": "types", "max_token_bytes": "max_token_bytes"}


def attacks() -> list[Attack]:
    """All of them, in order."""
    document = json.loads((ROOT / "tests" / "vectors" / "attack_tokens.json").read_text("utf-8"))
    return [_attack(case, document) for case in document["cases"]]


def shared_vectors(name: str) -> Any:
    """A vector file that is not ours to copy; skips where it is absent, except in CI."""
    path = SHARED / name
    if not path.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{name} is absent: set DOORWARD_VECTORS")
        pytest.skip(f"{name} is not ours to copy: set DOORWARD_VECTORS to where it is")
    return json.loads(path.read_text("utf-8"))


def _attack(case: dict[str, Any], document: dict[str, Any]) -> Attack:
    config = document["config"] | case.get("config", {})
    if "trusted" in config:
        config["trusted"] = [one | {"keys": document["keys"][one["keys"]]} for one in config["trusted"]]
    token = case["token"] if "token" in case else ".".join(_part(part) for part in case["generate"])
    keys = document["keys"][case["keys"]]
    return Attack(case["name"], case["why"], token, case["expect"] == "accept", keys, config)


def _part(part: Any) -> str:
    if isinstance(part, dict):
        return base64.urlsafe_b64encode(_text(part["encode"]).encode()).rstrip(b"=").decode()
    return part if isinstance(part, str) else _text(part)


def _text(pieces: list[Any]) -> str:
    return "".join(_piece(piece) for piece in pieces)


def _piece(piece: Any) -> str:
    if isinstance(piece, str):
        return piece
    if "count" in piece:
        return ",".join(piece["count"].replace("#", str(number)) for number in range(piece["times"]))
    repeated: str = piece["repeat"] * piece["times"]
    return repeated
