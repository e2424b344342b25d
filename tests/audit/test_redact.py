"""The logs of a process: credentials are taken out wherever somebody put them, and everything else stays as it was."""

from __future__ import annotations

import io
import json
import logging
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from guarded import Guarded
from uvicorn.logging import AccessFormatter

from doorward.audit import redact
from doorward.audit.credentials import scrub
from doorward.settings import Secret
from doorward.testing import Issuer

JWT = Issuer("https://as.example.com").token(audience="https://mcp.example.com/mcp", scopes=["read"])
OPAQUE = "2YotnFZFEjr1zCsicMWpAA"
AGENT = "doorward_agent_0123456789ab_" + "Xy" * 24 + "Z"
SECRET = Secret(b"correct horse/battery+staple 7531")
CANARIES = (JWT, JWT.split(".")[1], OPAQUE, AGENT, SECRET.value.decode())


class Told:
    """A log of one's own, and what was written to it."""

    def __init__(self, name: str) -> None:
        self.stream = io.StringIO()
        self.handler = logging.StreamHandler(self.stream)
        self.handler.setFormatter(logging.Formatter("%(message)s"))
        self.log = logging.getLogger(name)
        self.log.setLevel(logging.DEBUG)
        self.log.addHandler(self.handler)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    def has_no_canary(self) -> bool:
        return self.text != "" and not any(canary in self.text for canary in CANARIES)


@pytest.fixture
def told(request: pytest.FixtureRequest) -> Iterator[Told]:
    before = logging.getLogRecordFactory()
    redact.install()
    made = Told(f"redact.{request.node.name}")
    yield made
    made.log.removeHandler(made.handler)
    logging.setLogRecordFactory(before)


# --- a text -----------------------------------------------------------------------------------------------------------

TEXTS = {
    "a header's line": (f"Authorization: Bearer {OPAQUE}", "Authorization: Bearer [redacted]"),
    "in lower case": (f"authorization: bearer {OPAQUE}", "authorization: bearer [redacted]"),
    "a short one": ("Authorization: Bearer abc", "Authorization: Bearer [redacted]"),
    "basic": ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [redacted]"),
    "a dict": (f"{{'authorization': 'Bearer {OPAQUE}', 'a': 1}}", "{'authorization': 'Bearer [redacted]', 'a': 1}"),
    "bytes": (f"(b'authorization', b'Bearer {OPAQUE}')", "(b'authorization', b'Bearer [redacted]')"),
    "JSON": (f'{{"access_token":"{OPAQUE}","n":1}}', '{"access_token":"[redacted]","n":1}'),
    "JSON in JSON": (f'{{\\"access_token\\":\\"{OPAQUE}\\"}}', '{\\"access_token\\":\\"[redacted]\\"}'),
    "a query": (f"GET /mcp?access_token={OPAQUE}&x=1", "GET /mcp?access_token=[redacted]&x=1"),
    "a form": (f"grant_type=x&client_secret={OPAQUE}", "grant_type=x&client_secret=[redacted]"),
    "a JWT alone": (f"token was {JWT}.", "token was [redacted]"),
    "an agent token": (f"sent {AGENT}!", "sent [redacted]!"),
    "a configured secret": (f"it is {SECRET.value.decode()}!", "it is [redacted]!"),
    "percent-encoded": ("x=correct%20horse%2Fbattery%2Bstaple%207531", "x=[redacted]"),
    "as a form has it": ("x=correct+horse%2Fbattery%2Bstaple+7531", "x=[redacted]"),
    "in hexadecimal": (f"dump {SECRET.value.hex()}", "dump [redacted]"),
    "a password": ("password = hunter2, user = ada", "password = [redacted], user = ada"),
    "a cookie": ("Cookie: session=0123", "Cookie: [redacted]"),
    "a private key": ("-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\nend", "[redacted]\nend"),
    "twice": (f"Bearer {OPAQUE} then Bearer {OPAQUE}", "Bearer [redacted] then Bearer [redacted]"),
}


@pytest.mark.parametrize(("text", "clean"), TEXTS.values(), ids=TEXTS)
def test_what_a_credential_looks_like(text: str, clean: str) -> None:
    assert scrub(text) == clean
    assert scrub(clean) == clean


def test_a_key_of_ours_does_not_hide_where_another_begins() -> None:
    armour = "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----"
    ours = Secret(armour.format("MC4CAQAwBQYDK2VwBCIEIOurs").encode())
    assert scrub(armour.format("MC4C")) == "[redacted]"
    assert scrub("MC4CAQAwBQYDK2VwBCIEIOurs") == "[redacted]"
    assert ours.value


@pytest.mark.parametrize(
    "text",
    [
        "the bearer of bad news",
        "Bearer tokens are supported",
        "a key, a token and a secret walk into a bar",
        "tool=delete_user user=7 took 1.5 ms",
        "https://as.example.com/.well-known/jwks.json",
        "eyJust a word. And. Another",
        "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "",
    ],
)
def test_what_is_none_stays(text: str) -> None:
    assert scrub(text) == text


# --- a record ---------------------------------------------------------------------------------------------------------


class Shows:
    """Something whose repr has a token in it, as those of requests do."""

    def __repr__(self) -> str:
        return f"<Request headers={{'Authorization': 'Bearer {OPAQUE}'}}>"


LOGGED: dict[str, Callable[[logging.Logger], None]] = {
    "the message": lambda log: log.info(f"Bearer {OPAQUE}"),
    "an argument": lambda log: log.info("token %s", JWT),
    "in two pieces": lambda log: log.info("Authorization: Bearer %s", OPAQUE),
    "a dict as argument": lambda log: log.info("%(authorization)s", {"authorization": f"Bearer {OPAQUE}"}),
    "a nested argument": lambda log: log.info(
        "got %s", [{"headers": [(b"authorization", b"Bearer " + OPAQUE.encode())]}]
    ),
    "an object": lambda log: log.info("got %r", Shows()),
    "no string": lambda log: log.info(Shows()),
    "an exception": lambda log: _failing(log, ValueError(f"bad token {JWT}")),
    "its cause": lambda log: _failing(log, RuntimeError("outer"), ValueError(f"Bearer {OPAQUE}")),
    "its note": lambda log: _failing(log, _noted(ValueError("inner"), SECRET.value.decode())),
    "arguments that do not fit": lambda log: log.info("one %s two %s", JWT),
    "a stack": lambda log: log.info("here", stack_info=True) or log.info("Bearer %s", OPAQUE),  # type: ignore[func-returns-value]
    "a child logger": lambda log: log.getChild("deep").getChild("deeper").debug("body %s", {"access_token": OPAQUE}),
    "a secret": lambda log: log.warning("connecting with %s", SECRET.value.decode()),
}


def _failing(log: logging.Logger, error: Exception, cause: Exception | None = None) -> None:
    try:
        raise error from cause
    except Exception:
        log.exception("it failed")


def _noted(error: Exception, note: str) -> Exception:
    if hasattr(error, "add_note"):
        error.add_note(note)
    return error


@pytest.mark.parametrize("write", LOGGED.values(), ids=LOGGED)
def test_wherever_it_stands(told: Told, write: Callable[[logging.Logger], None]) -> None:
    write(told.log)
    assert told.has_no_canary(), told.text
    assert "Logging error" not in told.text


def test_extras_too_which_a_factory_never_sees(told: Told) -> None:
    told.handler.setFormatter(logging.Formatter("%(message)s %(headers)s %(token)s %(depth)s %(count)d"))
    extra = {"headers": {"Authorization": OPAQUE}, "token": OPAQUE, "depth": [[[[[[[JWT]]]]]]], "count": 7}
    told.log.info("request", extra=extra)
    assert told.has_no_canary(), told.text
    assert told.text.endswith(" 7\n")


def test_a_handler_that_formats_exceptions_by_itself_finds_none(told: Told) -> None:
    seen: list[logging.LogRecord] = []
    told.handler.emit = seen.append  # type: ignore[method-assign, assignment]
    _failing(told.log, ValueError(f"bad token {JWT}"))
    _failing(told.log, ValueError("nothing secret"))
    secret, plain = seen
    assert secret.exc_info is None
    assert "ValueError" in (secret.exc_text or "")
    assert plain.exc_info is not None


def test_what_has_nothing_in_it_stays_as_it_was(told: Told) -> None:
    seen: list[logging.LogRecord] = []
    told.handler.emit = seen.append  # type: ignore[method-assign, assignment]
    given = ("127.0.0.1:1", "POST", "/mcp", "1.1", 200)
    told.log.info('%s - "%s %s HTTP/%s" %d', *given)
    assert (seen[0].msg, seen[0].args) == ('%s - "%s %s HTTP/%s" %d', given)


def test_an_access_log_keeps_its_arguments(told: Told) -> None:
    seen: list[logging.LogRecord] = []
    told.handler.emit = seen.append  # type: ignore[method-assign, assignment]
    told.log.info('%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "GET", f"/mcp?access_token={OPAQUE}", "1.1", 400)
    assert seen[0].args == ("127.0.0.1:1", "GET", "/mcp?access_token=[redacted]", "1.1", 400)


class Atoms(dict[str, str]):
    """Arguments as the access logs of gunicorn and hypercorn have them: a missing key is a dash."""

    def __getitem__(self, key: str) -> str:
        return super().__getitem__(key) if key in self else "-"


ATOMS = {
    "nothing": (Atoms(h="::1", r="GET / HTTP/1.1"), '::1 "GET / HTTP/1.1" -'),
    "a token that is shown": (
        Atoms(h="::1", r=f"GET /?code={OPAQUE} HTTP/1.1"),
        '::1 "GET /?code=[redacted] HTTP/1.1" -',
    ),
    "a token that is not shown": (Atoms({"h": "::1", "r": "GET /", "{authorization}i": JWT}), '::1 "GET /" -'),
}


@pytest.mark.parametrize(("atoms", "line"), ATOMS.values(), ids=ATOMS)
def test_arguments_that_answer_for_missing_keys(told: Told, atoms: Atoms, line: str) -> None:
    told.log.info('%(h)s "%(r)s" %({referer}i)s', atoms)
    assert told.text == f"{line}\n"


UNFINISHED = [
    "?password:",
    ";authorization:",
    "?cookie:",
    "?a=Bearer",
    "?access_token=",
    "?password='",
    '?"password":"',
]


@pytest.mark.parametrize("end", UNFINISHED)
def test_a_path_cannot_hide_its_line_of_an_access_log(told: Told, end: str) -> None:
    told.handler.setFormatter(AccessFormatter('%(client_addr)s "%(request_line)s" %(status_code)s', use_colors=False))
    told.log.info('%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "GET", f"/mcp{end}", "1.1", 401)
    assert told.text.startswith(f'127.0.0.1:1 "GET /mcp{end} HTTP/')
    assert told.text.endswith('" 401 Unauthorized\n')


def test_the_parts_of_a_token_in_arguments_of_their_own(told: Told) -> None:
    seen: list[logging.LogRecord] = []
    told.handler.emit = seen.append  # type: ignore[method-assign, assignment]
    told.log.info("%s.%s.%s of %d", *JWT.split("."), 7)
    assert (seen[0].getMessage(), seen[0].args) == ("[redacted] of 7", ("[redacted]", "[redacted]", "[redacted]", 7))


def test_a_message_with_arguments_is_clean_before_a_handler_has_it(told: Told) -> None:
    seen: list[logging.LogRecord] = []
    told.log.addFilter(lambda record: seen.append(record) or True)  # type: ignore[func-returns-value]
    told.log.info(f"{JWT} %s", 1)
    assert seen[0].getMessage() == "[redacted] 1"


NAMED = {
    "a pair with another credential": [(b"authorization", b"Basic dXNlcjpwYXNz"), ("x-api-key", OPAQUE)],
    "a pair that is a list": [["x-api-key", OPAQUE]],
    "a pair of bytes that is a list": [[b"password", OPAQUE.encode()]],
    "a key": {JWT: 1},
}


@pytest.mark.parametrize("value", NAMED.values(), ids=NAMED)
def test_a_structure_shows_no_secret_as_argument_or_extra(told: Told, value: object) -> None:
    seen: list[logging.LogRecord] = []
    told.handler.emit = seen.append  # type: ignore[method-assign, assignment]
    told.log.info("%s", value, extra={"it": value})
    shown = f"{seen[0].getMessage()} {seen[0].args} {vars(seen[0])['it']}"
    assert not any(secret in shown for secret in (JWT, OPAQUE)), shown


def test_a_list_of_two_words_stays(told: Told) -> None:
    told.log.info("missing fields: %s", ["password", "email"])
    assert told.text == "missing fields: ['password', 'email']\n"


class Incomparable:
    """Like an array of numbers: what a comparison gives is neither true nor false."""

    def __repr__(self) -> str:
        return f"Bearer {OPAQUE}"

    def __eq__(self, other: object) -> bool:
        raise ValueError("ambiguous")

    __hash__ = object.__hash__


def test_an_object_that_cannot_be_compared(told: Told) -> None:
    told.log.info("got %s", [Incomparable()])
    assert told.text == "got ['Bearer [redacted]']\n"


def test_handlers_made_later_and_loggers_that_do_not_propagate(told: Told) -> None:
    later = Told("redact.later")
    later.log.propagate = False
    later.log.getChild("child").info("Bearer %s", OPAQUE, extra={"x": JWT})
    assert later.has_no_canary()
    assert redact.install() in later.handler.filters
    assert len(later.handler.filters) == 1


def test_a_request_id_of_the_host_s_own_is_left_alone(told: Told) -> None:
    told.handler.setFormatter(logging.Formatter("%(request_id)s"))
    told.log.info("a", extra={"request_id": "theirs"})
    told.log.info("b")
    assert told.text == "theirs\n-\n"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_what_a_handler_logs_names_its_request(told: Told, guarded: Callable[..., Guarded]) -> None:
    from doorward.decision import current_decision

    told.handler.setFormatter(logging.Formatter("%(request_id)s %(message)s"))
    decision = await guarded().call("read_order", "read")
    token = current_decision.set(decision)
    told.log.getChild("tool").info("working")
    current_decision.reset(token)
    decision.close()
    assert told.text == f"{decision.request_id} working\n"


# --- what it costs ----------------------------------------------------------------------------------------------------


class Counted:
    """Counts how often it is formatted."""

    def __init__(self) -> None:
        self.count = 0

    def __str__(self) -> str:
        self.count += 1
        return "nothing secret"


def test_what_no_handler_emits_is_never_formatted(told: Told) -> None:
    shown = Counted()
    told.handler.setLevel(logging.WARNING)
    told.log.propagate = False
    told.log.info("got %s", shown)
    assert shown.count == 0


def test_a_long_path_is_scanned_once_alone_and_once_in_its_message(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    scanned: list[str] = []
    monkeypatch.setattr(redact, "scrub", lambda text: scanned.append(text) or scrub(text))  # type: ignore[func-returns-value]
    another = logging.StreamHandler(io.StringIO())
    told.log.addHandler(another)
    told.log.info('%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "GET", "/mcp?" + "password=a&" * 5_000, "1.1", 401)
    told.log.removeHandler(another)
    assert sum("password=" in text for text in scanned) == 2


def test_a_record_of_another_process_needs_no_class_of_ours(told: Told) -> None:
    seen: list[logging.LogRecord] = []
    told.handler.emit = seen.append  # type: ignore[method-assign, assignment]
    told.log.info("token %s", JWT)
    assert b"_Formatted" not in pickle.dumps(vars(seen[0]))
    assert seen[0].msg == "token [redacted]"


def test_a_record_that_is_too_large_is_cut_off_in_each_of_its_parts(told: Told) -> None:
    told.handler.setFormatter(logging.Formatter("%(message)s %(extra)s %(exc_text)s"))
    long = "x" * 100_000
    told.log.info("%s", long + JWT, extra={"extra": long + JWT})
    try:
        raise ValueError(long + JWT)
    except ValueError:
        told.log.exception("it failed", extra={"extra": ""})
    assert told.has_no_canary()
    assert told.text.count("[cut off after 32768 characters]") >= 3
    assert len(told.text) < 4 * 33_000


@pytest.mark.parametrize(
    "many",
    [[JWT] * 100_000, {f"k{n}": JWT for n in range(100_000)}, [[n] for n in range(200_000)]],
    ids=["list", "dict", "lists"],
)
def test_what_is_left_of_a_record_behind_the_bound_is_left_out(told: Told, many: object) -> None:
    seen: list[logging.LogRecord] = []
    told.handler.emit = seen.append  # type: ignore[method-assign, assignment]
    told.log.info("many", extra={"many": many})
    assert JWT not in str(vars(seen[0]))
    assert len(vars(seen[0])["many"]) <= redact.MAX_RECORD


def test_a_record_with_more_texts_than_the_bound_shows_none_of_the_rest(told: Told) -> None:
    told.log.info("%s " * 10, *(["x" * 30_000] * 9), OPAQUE)
    assert OPAQUE not in told.text


class Broken:
    """Shows a secret by its repr, and fails by its str."""

    def __str__(self) -> str:
        raise ValueError("no")

    def __repr__(self) -> str:
        return f"Bearer {OPAQUE}"


def test_an_object_that_can_be_shown_in_one_way_alone(told: Told) -> None:
    seen: list[logging.LogRecord] = []
    told.handler.emit = seen.append  # type: ignore[method-assign, assignment]
    told.log.info("got", extra={"it": Broken()})
    assert vars(seen[0])["it"] == "Bearer [redacted]"


def test_a_member_is_secret_by_its_name_whatever_it_holds(told: Told) -> None:
    told.handler.setFormatter(logging.Formatter("%(query)s %(headers)s"))
    told.log.info(
        "x", extra={"query": {"access_token": ["abc-1"]}, "headers": [(b"cookie", b"abc-2"), ("X-Api-Key", "abc-3")]}
    )
    assert "abc-" not in told.text


# --- structlog --------------------------------------------------------------------------------------------------------


def test_structlog_by_its_processor() -> None:
    structlog = pytest.importorskip("structlog")
    out = io.StringIO()
    log = structlog.wrap_logger(
        structlog.PrintLogger(out), processors=[redact.processor, structlog.processors.JSONRenderer()]
    )
    log.info("got Bearer " + OPAQUE, headers={"authorization": OPAQUE}, token=OPAQUE, user="ada")
    try:
        raise ValueError(JWT)
    except ValueError as error:
        log.info("failed", exc_info=error)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert not any(canary in out.getvalue() for canary in CANARIES)
    assert lines[0] == {
        "event": "got Bearer [redacted]",
        "headers": {"authorization": "[redacted]"},
        "token": "[redacted]",
        "user": "ada",
    }
    assert "ValueError: [redacted]" in lines[1]["exception"]


def test_structlog_through_the_standard_library(told: Told) -> None:
    structlog = pytest.importorskip("structlog")
    log = structlog.wrap_logger(
        told.log,
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[structlog.stdlib.render_to_log_kwargs],
    )
    told.handler.setFormatter(logging.Formatter("%(message)s %(headers)s"))
    log.info("got", headers={"authorization": f"Bearer {OPAQUE}"})
    assert told.has_no_canary(), told.text


# --- the last resort --------------------------------------------------------------------------------------------------


def test_without_any_handler_too() -> None:
    program = f"""
import logging
import doorward
doorward.audit.redact.install(), doorward.audit.redact.install()
logging.getLogger("a.b").error("Bearer %s", {OPAQUE!r})
logging.getLogger("a.b").error("too many %s", {OPAQUE!r}, {JWT!r})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.startswith("Bearer [redacted]\n")
    assert JWT not in done.stderr
