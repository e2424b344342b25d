"""What the caller sees, to the byte."""

from __future__ import annotations

import json

import pytest

from doorward.errors import CODES, Forbidden, Limited, Refused, Unavailable, refusal
from doorward.rendering import Challenge, error_of, render

METADATA = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp"
CHALLENGE = Challenge(METADATA, ("mcp:tools:read",))

ANSWERS: dict[str, tuple[Refused, int, dict[str, str], str]] = {
    "no credentials": (
        refusal("missing_credentials"),
        401,
        {"www-authenticate": f'Bearer realm="mcp", scope="mcp:tools:read", resource_metadata="{METADATA}"'},
        (
            '{"jsonrpc":"2.0","id":7,"error":{"code":401,'
            '"message":"no credentials: send an access token as Authorization: Bearer",'
            '"data":{"reason":"missing_credentials","retryable":false,"requestId":"r1"}}}'
        ),
    ),
    "bad token": (
        refusal("token_expired"),
        401,
        {
            "www-authenticate": 'Bearer realm="mcp", error="invalid_token", error_description="the token has expired", '
            f'resource_metadata="{METADATA}"'
        },
        (
            '{"jsonrpc":"2.0","id":7,"error":{"code":401,"message":"the token has expired",'
            '"data":{"reason":"token_expired","retryable":false,"requestId":"r1"}}}'
        ),
    ),
    "bad token, for a reason that does not concern the caller": (
        refusal("unknown_key"),
        401,
        {
            "www-authenticate": 'Bearer realm="mcp", error="invalid_token", '
            f'error_description="the token is not valid", resource_metadata="{METADATA}"'
        },
        (
            '{"jsonrpc":"2.0","id":7,"error":{"code":401,"message":"the token is not valid",'
            '"data":{"reason":"invalid_token","retryable":false,"requestId":"r1"}}}'
        ),
    ),
    "two credentials": (
        refusal("multiple_credentials"),
        400,
        {},
        (
            '{"jsonrpc":"2.0","id":7,"error":{"code":-32600,"message":"credentials were sent more than once",'
            '"data":{"reason":"multiple_credentials","retryable":false,"requestId":"r1"}}}'
        ),
    ),
    "missing scope": (
        Forbidden("insufficient_scope", required_scopes=("mcp:tools:read", "mcp:tools:write")),
        403,
        {
            "www-authenticate": 'Bearer realm="mcp", error="insufficient_scope", '
            'error_description="the token lacks a scope this call needs", '
            f'scope="mcp:tools:read mcp:tools:write", resource_metadata="{METADATA}"'
        },
        (
            '{"jsonrpc":"2.0","id":7,"error":{"code":403,'
            '"message":"the token lacks a scope this call needs: mcp:tools:read mcp:tools:write",'
            '"data":{"reason":"insufficient_scope","retryable":false,"requestId":"r1",'
            '"requiredScopes":["mcp:tools:read","mcp:tools:write"]}}}'
        ),
    ),
    "never allowed": (
        refusal("no_rule"),
        403,
        {},
        (
            '{"jsonrpc":"2.0","id":7,"error":{"code":403,"message":"no rule allows this call",'
            '"data":{"reason":"no_rule","retryable":false,"requestId":"r1"}}}'
        ),
    ),
    "over a limit": (
        Limited("rate_limited", retry_after=11.2, budget="delete_*", limit="60/minute", scope="client"),
        429,
        {
            "retry-after": "12",
            "ratelimit-policy": '"delete_*-minute";q=60;w=60',
            "ratelimit": '"delete_*-minute";r=0;t=12',
        },
        (
            '{"jsonrpc":"2.0","id":7,"error":{"code":429,"message":'
            '"over 60/minute for delete_* (client): retry in 12 s",'
            '"data":{"reason":"rate_limited","retryable":true,"requestId":"r1","retryAfterMs":11200,"budget":"delete_*",'
            '"limit":"60/minute","budgetScope":"client","window":"minute","remaining":0}}}'
        ),
    ),
    "never fits": (
        Limited("cost_exceeds_limit", budget="client", limit="5/day", scope="client"),
        429,
        {},
        (
            '{"jsonrpc":"2.0","id":7,"error":{"code":429,'
            '"message":"over 5/day for client: the call costs more than this limit ever holds; do not retry",'
            '"data":{"reason":"cost_exceeds_limit","retryable":false,"requestId":"r1","budget":"client","limit":"5/day",'
            '"budgetScope":"client","window":"day","remaining":0}}}'
        ),
    ),
    "cannot tell now": (
        Unavailable("audit_unavailable", retry_after=0.2),
        503,
        {"retry-after": "1"},
        (
            '{"jsonrpc":"2.0","id":7,"error":{"code":503,"message":"the call cannot be recorded now",'
            '"data":{"reason":"audit_unavailable","retryable":true,"requestId":"r1","retryAfterMs":200}}}'
        ),
    ),
    "not JSON": (
        refusal("invalid_json"),
        400,
        {},
        (
            '{"jsonrpc":"2.0","id":7,"error":{"code":-32700,"message":"the body is not one strict JSON value",'
            '"data":{"reason":"invalid_json","retryable":false,"requestId":"r1"}}}'
        ),
    ),
    "too large": (
        refusal("body_too_large"),
        413,
        {},
        (
            '{"jsonrpc":"2.0","id":7,"error":{"code":-32600,"message":"the body is too large",'
            '"data":{"reason":"body_too_large","retryable":false,"requestId":"r1"}}}'
        ),
    ),
}


@pytest.mark.parametrize(("refused", "status", "headers", "body"), ANSWERS.values(), ids=ANSWERS)
def test_the_exact_answer(refused: Refused, status: int, headers: dict[str, str], body: str) -> None:
    response = render(refused, request_id="r1", rpc_id=7, challenge=CHALLENGE)
    common = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "cache-control": "no-store",
        "x-request-id": "r1",
    }
    assert (response.status, dict(response.headers), response.body.decode()) == (status, common | headers, body)


@pytest.mark.parametrize("code", CODES)
def test_every_refusal_renders_and_keeps_its_detail_to_itself(code: str) -> None:
    response = render(refusal(code, "a private detail"), request_id="r1", rpc_id=None, challenge=CHALLENGE)
    assert response.status == CODES[code][0]
    assert "private" not in response.body.decode() + str(response.headers)
    content = json.loads(response.body)
    assert (content["jsonrpc"], content["id"], set(content["error"])) == ("2.0", None, {"code", "message", "data"})


@pytest.mark.parametrize("code", CODES)
def test_a_body_tells_no_more_of_a_bad_token_than_its_description(code: str) -> None:
    """RFC 6750 section 3.1: which check of a token failed is the operator's to know."""
    status, description = CODES[code]
    told = error_of(refusal(code), request_id="r1")["data"]["reason"]
    assert told == ("invalid_token" if (status, description) == (401, "the token is not valid") else code)


@pytest.mark.parametrize("rpc_id", [None, 0, -(2**70), "a", 'a"\\\n\u2028\ud800'], ids=repr)
@pytest.mark.parametrize(
    "refused",
    [
        Limited("rate_limited", retry_after=2.0001, budget='"\\ü\n', limit="5/minute", remaining=3, scope="total"),
        Limited("too_many_in_flight", retry_after=1.0, budget="client", limit="4 in flight", scope="client"),
        Limited("too_many_failures", retry_after=0.5, budget="failed_auth"),
        Limited("cost_exceeds_limit", budget="b", limit="5/minute"),
        Unavailable("store_unavailable", retry_after=3.0),
        Forbidden("insufficient_scope", required_scopes=("a", "b")),
    ],
    ids=lambda refused: refused.code,
)
def test_an_answer_holds_the_error_that_other_tiers_give(refused: Refused, rpc_id: str | int | None) -> None:
    answer = render(refused, request_id="r1", rpc_id=rpc_id, challenge=CHALLENGE)
    said = {"jsonrpc": "2.0", "id": rpc_id, "error": error_of(refused, request_id="r1")}
    assert answer.body == json.dumps(said, separators=(",", ":")).encode()


def test_a_name_that_the_caller_chose_cannot_break_out_of_the_rate_limit_field() -> None:
    limited = Limited("rate_limited", retry_after=1.0, budget='a"b\\c\r\nX: y', limit="1/day")
    headers = dict(render(limited, request_id="r", rpc_id=1, challenge=CHALLENGE).headers)
    assert "\r" not in str(headers["ratelimit"])
    assert headers["ratelimit"].startswith('"a\\"b\\\\c')
