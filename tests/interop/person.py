"""A person with the official MCP client: the browser that it opens, and where it keeps its tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from pydantic import AnyUrl

CALLBACK: Final = "http://127.0.0.1:1/callback"
"""Nobody listens there: the browser stops where it is sent to it."""

REQUEST_SECONDS: Final = 15.0

_MAX_REDIRECTS: Final = 20


class Person:
    """Is also the `TokenStorage` of the client."""

    def __init__(self) -> None:
        self.tokens: list[OAuthToken] = []
        self.client: OAuthClientInformationFull | None = None
        self.authorizations: list[dict[str, list[str]]] = []
        """The parameters of each authorization request."""
        self._cookies = httpx2.Cookies()
        self._landed = ""

    @property
    def token(self) -> str:
        """The access token got last."""
        return self.tokens[-1].access_token

    @asynccontextmanager
    async def at(self, url: str) -> AsyncIterator[Client]:
        """The official client, connected to the server, with its own OAuth flow and nothing but the URL."""
        auth = OAuthClientProvider(
            url,
            OAuthClientMetadata(
                redirect_uris=[AnyUrl(CALLBACK)], client_name="interop", token_endpoint_auth_method="none"
            ),
            self,
            redirect_handler=self._browse,
            callback_handler=self._called_back,
        )
        async with (
            httpx2.AsyncClient(auth=auth, timeout=REQUEST_SECONDS, trust_env=False) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            yield client

    async def lands(self, url: str) -> dict[str, str]:
        """Log in and agree; what the client's callback is told."""
        await self._browse(url)
        return {name: values[0] for name, values in parse_qs(urlsplit(self._landed).query).items()}

    async def _browse(self, url: str) -> None:
        self.authorizations.append(parse_qs(urlsplit(url).query))
        async with httpx2.AsyncClient(cookies=self._cookies, timeout=REQUEST_SECONDS, trust_env=False) as browser:
            for _ in range(_MAX_REDIRECTS):
                response = await browser.get(url)
                if not response.is_redirect:
                    raise AssertionError(f"the login ended with {response.status_code}: {response.text}")
                url = urljoin(url, response.headers["location"])
                if url.startswith(CALLBACK):
                    self._cookies, self._landed = browser.cookies, url
                    return
        raise AssertionError("the login goes in circles")

    async def _called_back(self) -> AuthorizationCodeResult:
        answer = {name: values[0] for name, values in parse_qs(urlsplit(self._landed).query).items()}
        return AuthorizationCodeResult.model_validate(answer)

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens[-1] if self.tokens else None

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens.append(tokens)

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info
