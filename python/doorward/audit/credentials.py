"""What credentials look like: the words before them, and the forms that configured secrets are written in.

The core has the scanner (`doorward._core.Scrubber`); every word it knows stands here.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Final
from urllib.parse import quote_plus

from doorward._core import Scrubber
from doorward.settings import known_secrets

__all__ = ["REDACTED", "scrub", "tells"]

REDACTED: Final = "[redacted]"

MIN_SECRET: Final = 8
"""Characters of a form of a secret that is looked for: a shorter one would be found in words."""

_HEADERS: Final = ("authorization", "cookie")
"""Header fields whose whole value is redacted; like all names here also with text before them (``set-cookie``)."""

_NAMES: Final = (
    *("accesstoken", "refreshtoken", "subjecttoken", "actortoken", "sessiontoken", "authtoken"),
    *("apitoken", "privatetoken", "securitytoken", "vaulttoken", "csrftoken", "logouttoken", "idtokenhint"),
    *("clientsecret", "clientassertion", "codeverifier", "apikey", "privatekey", "secretkey"),
    *("accesskey", "accountkey", "subscriptionkey", "accesssignature", "amzsignature"),
    *("password", "passwd", "passphrase"),
)
"""Members and parameters that say what they are, wherever they stand."""

_ASSIGNED: Final = ("token", "secret", "idtoken")
"""Words that sentences have as well ("invalid_token: expired"): names as members in quotes and before ``=`` alone."""

_PARAMETERS: Final = (
    *("code", "state", "assertion", "device_code", "user_code", "key", "sig", "signature"),
    *("auth", "jwt", "otp", "samlresponse", "session", "sid", "ticket"),
)
"""Of redirects of OAuth and SAML, of signed URLs and of sessions: secret in a query or a form, and words elsewhere."""

_SCHEMES: Final = ("bearer", "basic", "dpop", "negotiate")
"""RFC 6750, RFC 7617, RFC 9449, RFC 4559."""

_PREFIXES: Final = ("doorward_agent_",)
"""What nothing but a token begins with."""


def scrub(text: str) -> str:
    """The text without what gives access to anything. A text of more than 32,768 characters is cut off there."""
    return _scrubber(known_secrets()).scrub(text)


def tells(name: str, value: object) -> bool:
    """Whether the value is a secret by the name of its member, whatever it looks like."""
    if value is None or isinstance(value, bool | int | float):
        return False
    squeezed = name.lower().replace("-", "").replace("_", "")
    return squeezed.endswith((*_HEADERS, *_NAMES)) or name.lower().replace("-", "_").split("_")[-1] in _ASSIGNED


@lru_cache(maxsize=4)
def _scrubber(secrets: frozenset[bytes]) -> Scrubber:
    forms = {form for secret in secrets for form in _forms(secret)}
    encoded = {form for secret in secrets for form in _encoded(secret)}
    return Scrubber(
        headers=_HEADERS,
        names=_NAMES,
        assigned=_ASSIGNED,
        parameters=_PARAMETERS,
        schemes=_SCHEMES,
        prefixes=_PREFIXES,
        forms=sorted(form for form in forms if len(form) >= MIN_SECRET),
        encoded=sorted(form for form in encoded if len(form) >= MIN_SECRET),
    )


def _forms(secret: bytes) -> Iterator[bytes]:
    """The secret as logs spell it. Percent-encoding and escapes need no form: the scanner decodes them."""
    text = secret.decode("utf-8", "surrogateescape")
    for each in (text, text.replace(" ", "+"), quote_plus(secret), repr(text)[1:-1], ascii(text)[1:-1]):
        yield each.encode("utf-8", "surrogatepass")
    for each in (text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]):
        yield each.encode("utf-8", "surrogatepass")
        # JSON in a repr: the quotes of the one are not escaped by the other.
        yield repr(each)[1:-1].encode("utf-8", "surrogatepass")
        yield from _in_html(each)
    wide = (text.encode(order, "surrogatepass").replace(b"\0", b"") for order in ("utf-16-le", "utf-16-be"))
    for octets in (secret, *wide):
        yield octets
        yield repr(octets)[2:-1].encode()
        misread = octets.decode("latin-1")  # as if each byte were a character
        yield misread.encode()
        yield repr(misread)[1:-1].encode()
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    # Of a PEM each line by itself, as it is logged; not its first and last, by which every other key is known.
    for line in secret.splitlines():
        if len(line) > 2 * MIN_SECRET and not line.startswith(b"--"):
            yield line


def _in_html(text: str) -> Iterator[bytes]:
    """As `html` and as templates escape it."""
    marked = html.escape(text)
    for each in (marked, marked.replace("&quot;", "&#34;").replace("&#x27;", "&#39;"), html.escape(text, quote=False)):
        yield each.encode("utf-8", "surrogatepass")


def _encoded(secret: bytes) -> Iterator[bytes]:
    """What base64 makes of the secret wherever it stands in what was encoded, as in ``user:secret``: without the
    characters that also depend on what is around it. HTTP Basic of OAuth has it percent-encoded there (RFC 6749 section
    2.3.1)."""
    for octets in {secret, quote_plus(secret).encode()}:
        for before in range(3):
            whole = base64.b64encode(bytes(before) + octets)
            form = whole[-(-before * 8 // 6) : (before + len(octets)) * 8 // 6]
            yield form
            yield form.translate(bytes.maketrans(b"+/", b"-_"))
