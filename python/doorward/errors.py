"""Why a call is refused: one tree, one stable slug each.

::

    Refused                     whatever doorward refuses
    ├── Unauthenticated   401   who is calling is not proven
    ├── Forbidden         403   known, and may not (404: there is no such method)
    ├── Limited           429   may, but not now (or, without retry_after, never at this cost)
    ├── Unavailable       503   cannot tell now
    └── Malformed         400   not a request that can be judged

A subclass exists only where a caller acts differently. `code` is stable and safe to show; `detail` is for the
operator's record and log alone. It holds fixed words, names of claims and parameters, configured values, and values of
a claim only where the signature was good; never a token, a header or an argument.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["CODES", "Forbidden", "Limited", "Malformed", "Refused", "Unauthenticated", "Unavailable", "refusal"]

CODES: Final[Mapping[str, tuple[int, str]]] = MappingProxyType(
    {
        # who
        "missing_credentials": (401, "no credentials: send an access token as Authorization: Bearer"),
        "bad_signature": (401, "the token is not valid"),
        "invalid_audience": (401, "the token was not issued for this resource"),
        "invalid_claim": (401, "the token is not valid"),
        "invalid_issuer": (401, "the token is not valid"),
        "invalid_type": (401, "the token is not an access token"),
        "malformed_token": (401, "the token is not valid"),
        "missing_claim": (401, "the token is not valid"),
        "proof_required": (401, "the token is bound to a proof that was not given"),
        "token_expired": (401, "the token has expired"),
        "token_lifetime_too_long": (401, "the token is not valid"),
        "token_inactive": (401, "the token is not valid"),
        "token_not_yet_valid": (401, "the token is not valid yet"),
        "token_revoked": (401, "the token was revoked"),
        "token_too_large": (401, "the token is too large"),
        "unknown_agent": (401, "the token is not valid"),
        "unknown_key": (401, "the token is not valid"),
        "unsupported_algorithm": (401, "the token is not valid"),
        "unsupported_critical": (401, "the token is not valid"),
        "unsupported_scheme": (401, "the credentials are not a bearer token"),
        # may they
        "call_ended": (
            403,
            (
                "the call that this one would run for has ended: a task that outlives its call must be started outside "
                "of calls, and call with a credential of its own"
            ),
        ),
        "confirmation_expired": (403, "the question has expired or is not known: call again to have it asked anew"),
        "confirmation_invalid": (403, "the requestState was not given to this caller for this very call"),
        "confirmation_refused": (
            403,
            "the client or approver did not confirm this call: do not retry",
        ),
        "confirmation_unavailable": (
            403,
            (
                "this call needs a confirmation, and nobody can be asked: the client offers no elicitation by "
                "form or failed at it, or the server has no way to ask"
            ),
        ),
        "confirmation_used": (403, "this confirmation was used before: each one runs one call"),
        "insecure_transport": (403, "plain HTTP is not accepted: use https"),
        "insufficient_scope": (403, "the token lacks a scope this call needs"),
        "invalid_host": (403, "this Host is not served here"),
        "invalid_origin": (403, "this Origin is not allowed"),
        "no_decision": (403, "this message reached the server without a decision of the gate"),
        "no_rule": (403, "no rule allows this call"),
        "unknown_method": (404, "the method is not known here"),
        # may they now
        "rate_limited": (429, "over a limit"),
        "cost_exceeds_limit": (429, "the call costs more than its limit ever holds"),
        "too_many_in_flight": (429, "too many calls of this client are in flight"),
        "too_many_failures": (429, "too many failed attempts from this address"),
        # cannot tell
        "approver_unavailable": (503, "whoever confirms this call cannot be asked now"),
        "audit_unavailable": (503, "the call cannot be recorded now"),
        "internal_error": (503, "the call cannot be judged now: the operator's log says more"),
        "issuer_unavailable": (503, "the token cannot be checked now"),
        "store_unavailable": (503, "the limits or the confirmation cannot be checked now"),
        # not a request
        "body_too_slow": (408, "the body took too long to arrive"),
        "body_too_large": (413, "the body is too large"),
        "invalid_json": (400, "the body is not one strict JSON value"),
        "invalid_request": (400, "the body is not one JSON-RPC message"),
        "malformed_key_set": (400, "the document is not a JSON Web Key Set"),
        "method_not_allowed": (405, "this HTTP method is not served here"),
        "multiple_credentials": (400, "credentials were sent more than once"),
        "query_too_long": (414, "the query of the URL is too long"),
        "token_in_query": (400, "an access token must not be sent in the query"),
        "unsupported_encoding": (415, "the body must not be encoded"),
    }
)
"""Every reason to refuse: its HTTP status, and the words the caller is told. Which check failed in particular is told
only as far as RFC 6750 section 3.1 does; the slug itself goes to the record."""


class Refused(Exception):
    """Whatever doorward refuses; never raised itself, always one of its subclasses."""

    def __init__(self, code: str, detail: str = "") -> None:
        self.status, self.description = CODES[code]
        self.code = code
        self.detail = detail
        self.args = code, detail

    @property
    def retryable(self) -> bool:
        """Whether the very same call may succeed later."""
        return False

    def __str__(self) -> str:
        return f"{self.code}: {self.detail or self.description}"


class Unauthenticated(Refused):
    """401: who is calling is not proven (RFC 6750 section 3.1)."""


class Forbidden(Refused):
    """403, or 404 for a method nobody knows (MCP 2026-07-28): the caller is known and may not do this;
    ``required_scopes`` says what would be enough, if anything."""

    def __init__(self, code: str, detail: str = "", *, required_scopes: tuple[str, ...] = ()) -> None:
        super().__init__(code, detail)
        self.required_scopes = required_scopes


class Limited(Refused):
    """429: over a limit. ``retry_after`` is exact, in seconds; None means that it never fits.

    Out of a `Limiter`, ``budget`` is the key of the worst violated charge, whose bucket has ``remaining`` tokens, and
    ``violated`` are the keys of all. Out of a `Gate`, ``budget`` is the rule's match, or ``client``, ``organization``
    or ``failed_auth``; ``limit`` is its rate, such as ``60/minute``, and ``scope`` says who shares it: ``client``,
    ``total``, ``organization`` or ``failed_auth`` (one address).
    """

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        retry_after: float | None = None,
        budget: str = "",
        violated: tuple[str, ...] = (),
        limit: str = "",
        remaining: int = 0,
        scope: str = "",
    ) -> None:
        super().__init__(code, detail)
        self.retry_after = retry_after
        self.budget = budget
        self.violated = violated
        self.limit = limit
        self.remaining = remaining
        self.scope = scope

    @property
    def retryable(self) -> bool:
        """Whether waiting helps."""
        return self.retry_after is not None

    @property
    def window(self) -> str:
        """The unit of time of the limit: ``second``, ``minute``, ``hour`` or ``day``; empty where it has none."""
        return self.limit.partition("/")[2].partition(" ")[0]


class Unavailable(Refused):
    """503: whether the call is allowed cannot be told now; ``retry_after`` in seconds."""

    def __init__(self, code: str, detail: str = "", *, retry_after: float = 1.0) -> None:
        super().__init__(code, detail)
        self.retry_after = retry_after

    @property
    def retryable(self) -> bool:
        """Always: nothing is known against the call."""
        return True


class Malformed(Refused):
    """400, 405, 408, 413, 414 or 415: not a request that can be judged."""


_CLASSES: Final[Mapping[int, type[Refused]]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: Forbidden,
    429: Limited,
    503: Unavailable,
}


def refusal(code: str, detail: str = "") -> Refused:
    """The exception for ``code``, of the class its status asks for."""
    return _CLASSES.get(CODES[code][0], Malformed)(code, detail)
