"""Issuers whose tokens name no client: budgets per client count by subject there. The log says so, once for each
process and issuer.
"""

from __future__ import annotations

import logging
from typing import Final

from doorward.principal import Principal

__all__ = ["warn_of_unnamed_client"]

_log = logging.getLogger("doorward")

_unnamed: Final[set[str]] = set()
"""Issuers that were named in the log. Only configured issuers get here, so the set stays small."""


def warn_of_unnamed_client(principal: Principal) -> None:
    """Name the issuer of a verified token in the log where the token has no client (RFC 9068 section 2.2 requires
    ``client_id``)."""
    if principal.client_id is None and principal.issuer not in _unnamed:
        _unnamed.add(principal.issuer)
        _log.warning(
            "a token of issuer %s names no client: budgets per client count each subject separately there, whatever "
            "application it uses. Configure the issuer to add client_id to its access tokens (RFC 9068)",
            principal.issuer,
        )
