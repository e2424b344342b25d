"""What a test of a protected server needs: a throw-away issuer, and the signature layer alone.

::

    issuer = doorward.testing.Issuer("https://as.example.com")
    gate = doorward.Gate(issuers=[doorward.Issuer(issuer.url, algorithms=[issuer.algorithm], jwks=issuer.jwks())], ...)
    token = issuer.token(audience="https://mcp.example.com/mcp", scopes=["mcp:tools:read"])

With pytest the fixture ``doorward_issuer`` gives one that is new for each test.
"""

from doorward._core import verify_jws
from doorward.testing.issuer import Issuer

__all__ = ["Issuer", "verify_jws"]
