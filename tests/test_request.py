"""The request as the gate judges it."""

from __future__ import annotations

from doorward.request import Request


def test_no_header_is_overlooked_for_its_case() -> None:
    request = Request(headers=[("Authorization", "Bearer a"), ("authorization", "Bearer b"), ("ORIGIN", "null")])
    assert list(request.header_values("authorization")) == ["Bearer a", "Bearer b"]
    assert request.header("origin") == "null"
    assert request.header("host") is None


def test_what_may_hold_a_token_does_not_show() -> None:
    request = Request(
        query="access_token=sesame", headers=[("authorization", "Bearer sesame")], body=b'{"token":"sesame"}'
    )
    assert "sesame" not in repr(request)
