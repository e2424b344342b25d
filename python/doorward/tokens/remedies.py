"""What would change the refusal of a token: a setting of ``doorward.toml``, or what the issuer or client has to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from doorward.errors import Refused

__all__ = ["REMEDIES", "remedy"]

REMEDIES: Final[Mapping[str, str]] = {
    "bad_signature": (
        "the token was changed, or signed with another key of the same kid: compare jwks, jwks_file or jwks_url "
        "of this [[issuer]] with what the issuer publishes now"
    ),
    "invalid_audience": (
        "have the client ask for the resource (RFC 8707), or the issuer write it into aud; where the issuer has "
        "another name for this server, add that name to audiences"
    ),
    "invalid_claim": "have the issuer write the claim as RFC 7519 and RFC 9068 define it",
    "invalid_issuer": (
        "url of [[issuer]] must equal iss byte for byte: correct it, or add an [[issuer]] if tokens of this one "
        "shall count"
    ),
    "invalid_type": (
        "send an access token and not an ID token; have the issuer set typ to at+jwt; types of this [[issuer]] "
        "accepts another typ"
    ),
    "issuer_unavailable": "see that this machine reaches the issuer; jwks_url or jwks_file spare the discovery",
    "malformed_token": (
        "send the whole access token as the issuer gave it; opaque tokens need introspection of an [[issuer]], "
        "and agent tokens need [agents]"
    ),
    "missing_claim": (
        "have the issuer write the claim; where only sub is missing, subject of this [[issuer]] says what names "
        "the caller"
    ),
    "proof_required": (
        "a token bound to a certificate (cnf) needs a connection with that certificate, and client_certificate "
        "where a proxy ends TLS; one bound by DPoP is not accepted: have the issuer make bearer tokens"
    ),
    "token_expired": "get a new token; if it is new, compare the clocks: leeway of this [[issuer]] allows up to 300 s",
    "token_lifetime_too_long": (
        "have the issuer make tokens of a shorter life, or raise max_token_lifetime of this [[issuer]]"
    ),
    "token_not_yet_valid": (
        "compare the clocks of the issuer and of this machine: leeway of this [[issuer]] allows up to 300 s"
    ),
    "token_revoked": "get a new token; the file of [revocation] and `doorward tokens list` say what was revoked",
    "token_too_large": (
        "have the issuer write fewer claims, such as groups: tokens of more than 16384 bytes are refused"
    ),
    "unknown_agent": "make a token with `doorward tokens create`, and see that [agents] names the file it stands in",
    "unknown_key": (
        "the key that signed must be among those that the issuer publishes, usable, and under the kid of the "
        "header; jwks, jwks_file or jwks_url of this [[issuer]] say where the keys come from"
    ),
    "unsupported_algorithm": (
        "add the algorithm to algorithms of this [[issuer]], if the issuer is meant to sign with it"
    ),
    "unsupported_critical": "no crit extension is understood: have the issuer make tokens without",
}
"""For each reason that a token can be refused for."""


def remedy(fault: Refused) -> str:
    """What would change it."""
    return REMEDIES.get(fault.code, "docs/audit.md says what each reason means")
