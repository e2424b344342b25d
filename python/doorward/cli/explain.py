"""``doorward tokens explain``: why a server with this configuration refuses a token."""

from __future__ import annotations

import getpass
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import anyio
import typer

from doorward.cli.places import CONFIG
from doorward.cli.saying import fail, printable
from doorward.config import load_for_tokens
from doorward.errors import Malformed, Refused, Unauthenticated, Unavailable
from doorward.principal import Principal
from doorward.resource import spellings
from doorward.settings import Issuer
from doorward.tokens import agents_file
from doorward.tokens.agent_tokens import is_agent_token
from doorward.tokens.agents import holder
from doorward.tokens.explaining import Explained, Keyed, explain_jwt, issuer_named
from doorward.tokens.jwks import fetched_document
from doorward.tokens.remedies import remedy
from doorward.tokens.revocation import Revocations
from doorward.tokens.toml_tables import written_instant
from doorward.tokens.unverified import algorithm_of, header_of

__all__ = ["REFUSED", "UNDECIDED", "explain"]

MAX_INPUT: Final = 65_536
"""Bytes of the standard input that are read: four times the largest token that is accepted."""

MAX_TEXT: Final = 128
"""Characters of a value that are printed."""

REFUSED: Final = 3
"""The exit code for a token that a server refuses."""

UNDECIDED: Final = 4
"""The exit code where only the issuer could say."""


def explain(
    config: Annotated[Path, typer.Option("--config", help="The doorward.toml of the server.")] = CONFIG,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Fetch the keys of an issuer that are not in the configuration.")
    ] = False,
) -> None:
    """Say whether a token is accepted, and if not which checks fail, why, and what would change it.

    The token is read from the standard input and never printed or sent anywhere. Ends with 0 for a token that is
    accepted, 3 for one that is refused, 4 where only the issuer could say."""
    try:
        settings, asked = load_for_tokens(config)
    except OSError as error:
        fail(f"{config} cannot be read: {error.strerror}")
    except ValueError as error:
        fail(str(error))
    raise typer.Exit(_Explaining(settings, asked, fetch=fetch).told(_token()))


@dataclass
class _Explaining:
    """One token, and what the configuration says of tokens."""

    settings: dict[str, Any]
    asked: dict[str, dict[str, Any]]
    """The introspection of each issuer that has one."""
    fetch: bool

    def told(self, token: str) -> int:
        """Print what is found; the exit code."""
        try:
            if is_agent_token(token):
                return self._agent(token)
            return self._jwt(token)
        except _Undecided as undecided:
            _say("UNDECIDED", str(undecided))
            return UNDECIDED
        except (OSError, ValueError) as error:
            fail(str(error))

    def _agent(self, token: str) -> int:
        _say("token", "an agent token")
        agents = self.settings.get("agents")
        if agents is None:
            return _refused(Unauthenticated("malformed_token", "agent tokens are not configured: there is no [agents]"))
        try:
            principal = holder(token, agents_file.read(Path(agents.file)), now=time.time())
        except Unauthenticated as refused:
            return _refused(refused)
        if self._revocations().cover(principal, now=time.time()):
            return _refused(Unauthenticated("token_revoked", "the revocation file names the token or its holder"))
        return _accepted(principal)

    def _jwt(self, token: str) -> int:
        issuers = self.settings.get("issuers", ())
        try:
            issuer = issuer_named(token, issuers)
        except Unauthenticated as refused:
            self._ensure_not_opaque(refused)
            if refused.code == "invalid_issuer":
                _say("token", _header(token))
                for each in issuers:
                    _say("issuer", f"configured is {each.url}")
            return _refused(refused)
        _say("token", _header(token))
        _say("issuer", issuer.url)
        try:
            document = self._document(issuer)
        except (Malformed, Unavailable) as error:
            return _refused(Unavailable("issuer_unavailable", f"the keys of {issuer.url}: {error.detail}"))
        try:
            found = explain_jwt(
                token,
                Keyed(issuer, document),
                audiences=[*spellings(self.settings["resource"]), *self.settings.get("audiences", ())],
                organization_claim=self.settings.get("organization_claim"),
                revocations=self._revocations(),
                now=time.time(),
            )
        except Malformed as error:
            return _refused(Unavailable("issuer_unavailable", f"the keys of {issuer.url}: {error.detail}"))
        _print_keys(found)
        if found.faults or found.principal is None:
            return _refused(*found.faults)
        if self.asked.get(issuer.url, {}).get("jwts") is True:
            raise _Undecided(
                "all checks pass; introspection of this [[issuer]] has jwts = true, so that a server asks it"
            )
        return _accepted(found.principal)

    def _document(self, issuer: Issuer) -> bytes:
        given = issuer.jwks
        if isinstance(given, bytes):  # jwks_file
            return given
        if given is not None:
            return json.dumps(given).encode()
        if not self.fetch:
            raise _Undecided(f"the keys of {issuer.url} are not in the configuration: run this again with --fetch")
        return anyio.run(fetched_document, issuer)

    def _ensure_not_opaque(self, refused: Refused) -> None:
        if refused.detail == "the token is not a JWT" and any(
            each.get("opaque", True) is not False for each in self.asked.values()
        ):
            raise _Undecided("the token is opaque: a server asks the introspection endpoint, and this command does not")

    def _revocations(self) -> Revocations:
        return Revocations(self.settings.get("revocation"))


class _Undecided(Exception):
    """Only the issuer could say."""


def _token() -> str:
    """The token from the standard input, without the header around it that people copy too."""
    if sys.stdin.isatty():
        text = getpass.getpass("the token (it is not shown): ", stream=sys.stderr)
    else:
        data = sys.stdin.buffer.read(MAX_INPUT + 1)
        if len(data) > MAX_INPUT:
            fail(f"the standard input has more than {MAX_INPUT} bytes: give one token")
        text = data.decode("utf-8", "replace")
    text = text.strip()
    for prefix in ("authorization:", "bearer "):
        if text[: len(prefix)].lower() == prefix:
            text = text[len(prefix) :].strip()
    if not text:
        fail("there is no token on the standard input: doorward tokens explain < token")
    return text


def _header(token: str) -> str:
    header = header_of(token)
    named = [f"alg {algorithm_of(token) or 'unknown'}"]
    named += [f"{name} {printable(header[name])[:MAX_TEXT]}" for name in ("typ", "kid") if name in header]
    return f"a JWT of {len(token)} bytes: {', '.join(named)}"


def _print_keys(found: Explained) -> None:
    for key in found.keys:
        _say("key", f"{printable(key.name)}: {key.verdict}{'; it made the signature' if key.verifies else ''}")
    if found.keys and not any(key.verifies for key in found.keys):
        _say("key", "none of these keys made the signature")


def _refused(*faults: Refused) -> int:
    first = faults[0]
    for fault in faults:
        _say("FAILS", f"{fault.code}: {fault.detail or fault.description}")
        _say("", f"to change it: {remedy(fault)}")
    _say("REFUSED", f"{first.status} {first.code}")
    return REFUSED


def _accepted(principal: Principal) -> int:
    _say("scopes", printable(" ".join(principal.scopes)) or "none")
    _say("expires", written_instant(principal.expires_at))
    _say("ACCEPTED", "all checks pass; `doorward rules` shows which scopes each call needs")
    return 0


def _say(what: str, text: str) -> None:
    print(f"{what:<9} {text}" if what else f"{'':<9} {text}")
