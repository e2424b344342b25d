"""What a test of a protected server needs: a throw-away issuer, and the signature layer alone.

::

    issuer = toolgate.testing.Issuer("https://as.example.com")
    gate = toolgate.Gate(issuers=[toolgate.Issuer(issuer.url, algorithms=[issuer.algorithm], jwks=issuer.jwks())], ...)
    token = issuer.token(audience="https://mcp.example.com/mcp", scopes=["mcp:tools:read"])

With pytest the fixture ``toolgate_issuer`` gives one that is new for each test.
"""

from toolgate._core import verify_jws
from toolgate.testing.issuer import Issuer

__all__ = ["Issuer", "verify_jws"]
