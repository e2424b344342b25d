"""The contract that the native core and ``doorward._pure`` both fulfil.

Sans-I/O: no clock, network, file or log. ``now`` is seconds since the epoch, ``tick`` is monotonic nanoseconds; both
are arguments. Everything is frozen and safe to share between threads. Whatever is refused raises a subclass of
`doorward.Refused`; a configuration that cannot be right raises `ValueError`.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import GenericAlias
from typing import Any, Generic, Literal, Self, TypeVar, final, overload

from typing_extensions import disjoint_base

__all__ = [
    "REFUSALS",
    "Chain",
    "Charge",
    "Charges",
    "Claims",
    "Envelope",
    "Grant",
    "Holding",
    "Holdings",
    "KeySet",
    "Limiter",
    "Recognised",
    "Recogniser",
    "RemoteGrant",
    "Scrubber",
    "TokenCache",
    "Verifier",
    "Verifiers",
    "call_record",
    "hash_arguments",
    "read_envelope",
    "spelt",
    "subject_by",
    "token_issuer",
    "token_kind",
    "verify_jws",
]

REFUSALS: list[str]

_T = TypeVar("_T")

@final
class KeySet:
    """Public keys of one issuer (RFC 7517), or one shared secret."""

    @staticmethod
    def from_json(document: bytes | str | Mapping[str, Any]) -> KeySet:
        """Parse a JWK Set. Keys that cannot be used are skipped (and named in `skipped`); raises `Malformed` for
        anything that is not a JWK Set at all."""
    @staticmethod
    def from_secret(secret: bytes, *, algorithm: str) -> KeySet:
        """A shared secret for HS256, HS384 or HS512: the only way to HMAC. Raises `ValueError` when it is shorter than
        the hash (RFC 7518 section 3.2)."""
    @property
    def key_ids(self) -> tuple[str, ...]:
        """The `kid` of every usable key that has one."""
    @property
    def fingerprints(self) -> tuple[bytes, ...]:
        """The fingerprint of every usable key for each of its algorithms, in the order of the document: SHA-256 of the
        `kid`, the algorithm and the public key. A key has the same one in every set."""
    @property
    def skipped(self) -> tuple[str, ...]:
        """Why each unusable key was skipped, in the order of the document."""
    def __len__(self) -> int: ...

@final
class Claims:
    """What a verified access token says (RFC 9068)."""

    @property
    def issuer(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def client_id(self) -> str | None:
        """`client_id`, else `azp`."""
    @property
    def audience(self) -> tuple[str, ...]: ...
    @property
    def scopes(self) -> tuple[str, ...]:
        """From `scope` (a string) or `scp` (a string or an array), in the token's order, without repetition."""
    @property
    def issued_at(self) -> float | None:
        """Seconds since the epoch."""
    @property
    def expires_at(self) -> float:
        """Seconds since the epoch."""
    @property
    def not_before(self) -> float:
        """Seconds since the epoch, leeway included: the earliest time at which the token counts."""
    @property
    def certificate_sha256(self) -> bytes | None:
        """The certificate the token is bound to (`cnf`, `x5t#S256`)."""
    @property
    def token_id(self) -> str | None:
        """`jti`."""
    @property
    def key_fingerprint(self) -> bytes:
        """Which key verified the signature: one of `KeySet.fingerprints`."""
    @property
    def raw(self) -> dict[str, Any]:
        """All claims; a new dict each time."""

@final
class Verifier:
    """Verifies the access tokens of one issuer for one resource (RFC 8725, RFC 9068 section 4)."""

    def __new__(
        cls,
        keys: KeySet,
        *,
        issuer: str,
        audience: str | Sequence[str],
        algorithms: Sequence[str],
        leeway: float = 30.0,
        types: Sequence[str] | None = None,
        max_token_bytes: int = 16_384,
        max_token_lifetime: float | None = None,
        subject: str = "sub",
    ) -> Verifier:
        """``audience``: any of these, compared exactly. ``types``: accepted `typ` values; None accepts `at+jwt`, `JWT`
        and absent. A token whose `typ` is not `at+jwt` must show by its claims that it is an access token. ``leeway``
        and ``max_token_lifetime`` in seconds, the leeway at most 300. ``subject``: what names the caller where `sub` is
        missing: ``sub`` (nothing does), ``username``, or ``client`` for an issuer that serves machines alone. Raises
        `ValueError` for a configuration that cannot be right."""
    @property
    def issuer(self) -> str: ...
    def verify(self, token: str | bytes, *, now: float, certificate_sha256: bytes | str | None = None) -> Claims:
        """The token's claims. Never caches. ``certificate_sha256`` is the SHA-256 of the client's certificate (32
        bytes, or their base64url text as in `x5t#S256`) for tokens bound to one (RFC 8705)."""

@final
class Verifiers:
    """Several issuers: the token's exact `iss` chooses, keys are never mixed."""

    def __new__(cls, verifiers: Sequence[Verifier]) -> Verifiers: ...
    def verify(self, token: str | bytes, *, now: float, certificate_sha256: bytes | str | None = None) -> Claims: ...

@final
class TokenCache(Generic[_T]):
    """What verified tokens were found to mean: bounded, and expiry checked on every hit. Saves the signature and the
    parsing, nothing else."""

    def __new__(cls, *, max_entries: int = 10_000) -> TokenCache[_T]: ...
    def __class_getitem__(cls, key: Any) -> GenericAlias: ...
    def get(self, token: str | bytes, *, now: float) -> _T | None:
        """What was kept for exactly this token, unless it has expired."""
    def put(self, token: str | bytes, value: _T, *, expires_at: float, weight: int = 0) -> None:
        """Keep a value of so many bytes, beside those of the token, until ``expires_at``; 32 MiB are kept in all. One
        that is heavier is not kept."""
    def clear(self) -> None: ...
    def __len__(self) -> int: ...

@final
class Recognised(Generic[_T]):
    """A request with a cached caller."""

    def __class_getitem__(cls, key: Any) -> GenericAlias: ...
    @property
    def caller(self) -> _T: ...
    @property
    def protocol(self) -> str | None:
        """`MCP-Protocol-Version`."""
    @property
    def traceparent(self) -> str | None:
        """`traceparent` (W3C Trace Context), not parsed."""
    @property
    def content_length(self) -> int | None: ...
    @property
    def others(self) -> list[tuple[bytes, bytes]]:
        """The headers without the credentials: what the server behind the gate sees."""

@final
class Recogniser(Generic[_T]):
    """Finds the cached caller of a request whose head is plain: one accepted Host, one bearer token, at most one
    protocol version, traceparent and content length, otherwise only headers that no check reads; over https or from
    this machine."""

    def __new__(cls, callers: TokenCache[_T], *, hosts: Sequence[str], max_body_bytes: int) -> Recogniser[_T]: ...
    def __class_getitem__(cls, key: Any) -> GenericAlias: ...
    def recognise(self, headers: object, *, scheme: str, peer: str | None, now: float) -> Recognised[_T] | None:
        """The cached caller, from the list of pairs of bytes that an ASGI scope has. None means "take the slow path",
        not "refuse". ``now``: seconds since the epoch."""

def call_record(
    event: str,
    at: float,
    request_id: str,
    parent_id: str | None,
    rpc_id: str | int | None,
    trace_id: str | None,
    who: str,
    transport: str,
    peer: str | None,
    http_method: str | None,
    path: str | None,
    method: str | None,
    name: str | None,
    arguments_hash: str | None,
    hash_key: str | None,
    scopes: str,
    outcome: tuple[str | None, str | None, str | None, int | None, str | None, str | None, str | None] | None,
    limits_fallback: str | None,
    rule: str | None,
    would_deny: tuple[str, ...],
    disconnected: bool,
    latency_ms: float | None,
    /,
) -> str:
    """A record of a call as JSON, without its closing brace: the chain adds `instance`, `sequence` and `previous`.
    `at`: seconds since the epoch; `who` and `scopes` are members that were encoded before; `outcome`: the result, why,
    the violated budget, how many milliseconds to wait for it, the detail, and the budget's scope and window; the
    result is null while the call has not ended."""

def spelt(name: str | None, /) -> str:
    """A name as a record spells it: a JSON string in ASCII, and one of over 256 characters cut, with a hash of the
    whole behind it; `null` for None."""

@final
class Chain:
    """The running end of one instance's hash chain of lines (audit trail). Raises `ValueError` for an ``instance`` that
    JSON would have to escape, and for a ``previous`` that is not `sha256:<hex>`."""

    def __new__(cls, instance: str, *, sequence: int = 0, previous: str | None = None) -> Chain:
        """Continue after the line that had ``sequence`` (64 bits, else `OverflowError`) and the hash ``previous``."""
    def seal(self, record: str) -> bytes:
        """The record's line, with ``instance``, ``sequence`` and ``previous``, and its newline. ``record`` is a JSON
        object without its closing brace."""
    def begin(self, record: str) -> bytes:
        """The same without its closing brace, for members that depend on what it says; `end` must follow."""
    def end(self, line: bytes) -> None:
        """The next line carries the hash of this one, which has its closing brace and no newline."""
    def skip(self) -> None:
        """Leave out the number of a record that is lost."""

@final
class Charge:
    """What one call spends of one bucket. ``limit``: ``"600/minute"``, ``"600/minute burst 50"`` or ``"2000/day
    strict"`` with second, minute, hour or day. A ``shared`` bucket is one for all domains. Where so many ``instances``
    (processes, 1 to 10,000) share the limit without a common store, each takes its share: it refills so many times more
    slowly and holds as many times less, at least one token. Raises `ValueError` for a limit that cannot be read."""

    def __new__(
        cls,
        key: str,
        limit: str,
        *,
        cost: int = 1,
        observe: bool = False,
        shared: bool = False,
        instances: int = 1,
    ) -> Charge: ...
    @property
    def key(self) -> str: ...
    @property
    def limit(self) -> str: ...
    @property
    def cost(self) -> int: ...
    @property
    def observe(self) -> bool: ...
    @property
    def shared(self) -> bool: ...
    @property
    def instances(self) -> int: ...

@final
class Charges(Sequence[Charge]):
    """All charges of a call, checked once and kept together: quicker to admit than any other sequence of them. Raises
    `ValueError` for charges that no call can have."""

    def __new__(cls, charges: Sequence[Charge], /) -> Charges: ...
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, index: int, /) -> Charge: ...
    @overload
    def __getitem__(self, index: slice, /) -> tuple[Charge, ...]: ...
    def __iter__(self) -> Iterator[Charge]: ...

@final
class Grant:
    """An admission."""

    @property
    def remaining(self) -> tuple[int, ...]:
        """Whole tokens left, in the order of the charges."""
    @property
    def would_deny(self) -> tuple[str, ...]:
        """Keys of the observed charges that would have refused."""

@final
class Limiter:
    """Token buckets (the GCRA form) in sharded domains, in integer nanoseconds. It holds at most ``max_keys`` of them.
    Newcomers that find no room share overflow buckets, striped by domain; without ``overflow`` they are admitted, and
    counted by nobody. With ``initial`` a new bucket begins with at most so many tokens instead of full."""

    def __new__(cls, *, max_keys: int = 100_000, overflow: bool = True, initial: int | None = None) -> Limiter: ...
    def admit(self, *, domain: str, charges: Sequence[Charge], tick: int) -> Grant:
        """Spend all charges or none. Raises `Limited` with the state unchanged: its ``retry_after`` is that of the
        longest violated budget, in seconds, exact; None when it never fits. ``remaining``: whole tokens of that
        budget."""
    def refund(self, grant: Grant) -> None:
        """Give back what a call spent that never started, as far as the time since has not given it back already. A
        grant is refunded or settled once in all; again does nothing."""
    def settle(self, grant: Grant, actual: int, *, tick: int) -> None:
        """Each charge of the grant that cost something costs ``actual`` tokens instead. More is taken at ``tick`` and
        may leave a bucket in debt, at most one full burst below empty; less gives back by the rule of `refund`. A grant
        is refunded or settled once in all; again does nothing. Raises `ValueError` for an ``actual`` that no charge
        could cost."""
    def snapshot(self, *, tick: int) -> bytes:
        """All buckets that are not full, for `restore` in a later process of the same implementation. Decisions go on
        meanwhile. The bytes carry the secret by which names are hashed: keep them where only their owner reads them
        (mode 0600)."""
    def snapshot_pieces(self, *, tick: int) -> Iterator[bytes]:
        """The same in pieces, whose sum it is: to make one `bytes` of a million buckets would hold up the other threads
        for tens of milliseconds."""
    def restore(self, data: bytes, *, tick: int, elapsed: int) -> None:
        """Take up a snapshot, ``elapsed`` nanoseconds of wall-clock time after it was made (a negative number counts as
        none). What finds no room is left out, the fullest buckets first. Raises `ValueError` for bytes that are torn,
        damaged, or no snapshot of this version and implementation, and changes nothing then."""
    @property
    def overflowed(self) -> int:
        """Charges of newcomers for which there was no room, ever since."""
    def __len__(self) -> int:
        """Buckets held, at most ``max_keys``; overflow buckets are not counted."""

@disjoint_base
class Holding:
    """What one process holds of one bucket in Redis."""

    tokens: int
    """Unspent,"""
    until: float
    """until then, by the clock of whoever holds them,"""
    lease: Any
    """of this lease."""
    left: int
    """What Redis had when it was last asked."""

    def __new__(cls) -> Self: ...
    def has(self, cost: int, now: float) -> bool:
        """Whether so many tokens can be spent here."""

@final
class Holdings:
    """The holdings of one limiter, for the one thread that spends from them."""

    def __new__(cls) -> Holdings: ...
    def take(self, domain: str, charges: Sequence[Charge], now: float) -> RemoteGrant | None:
        """The grant, where everything that a call spends is held here, and this is the thread that spends."""
    def keep(
        self,
        domain: str,
        charges: Sequence[Charge],
        plan: object,
        held: Sequence[tuple[Holding, int]],
        order: Sequence[int],
    ) -> None:
        """Find these holdings from now on: pairs of each and what the call costs there, and the position among them of
        each charge."""
    def serves(self) -> bool:
        """Whether this thread spends, or nobody does yet."""
    def claim(self) -> None:
        """This thread spends."""
    def clear(self) -> None:
        """Find none, for nobody."""

@final
class RemoteGrant:
    """An admission that Redis, a lease or a fallback gave, with the ``source`` that is told when it is undone."""

    def __new__(
        cls, plan: Any, remaining: tuple[int, ...], would_deny: tuple[str, ...] = (), source: Any = None
    ) -> RemoteGrant: ...
    @property
    def plan(self) -> Any:
        """What the call spends."""
    @property
    def remaining(self) -> tuple[int, ...]:
        """Whole tokens left, in the order of the charges: those held here and those that Redis had when it was last
        asked; zeros where nobody could be asked."""
    @property
    def would_deny(self) -> tuple[str, ...]:
        """Keys of the observed charges that would have refused."""
    def close(self) -> Any:
        """Who is told when it is undone: Redis, by its answer; the leases of a call, in a tuple; or the limiter in this
        process. The second time nobody."""

@final
class Scrubber:
    """Takes credentials out of text, in time that grows with the length of the text alone. Frozen."""

    def __new__(
        cls,
        *,
        headers: Sequence[str],
        names: Sequence[str],
        assigned: Sequence[str],
        parameters: Sequence[str],
        schemes: Sequence[str],
        prefixes: Sequence[str],
        forms: Sequence[bytes],
        encoded: Sequence[bytes],
    ) -> Scrubber:
        """Names are in lower case, without ``-`` and ``_``, and count also with text before them; ``parameters`` are as
        they are written. ``headers``: their whole value goes. ``assigned``: they count in quotes and before ``=``
        alone. ``parameters``: they count in a query or a form alone. ``schemes``: of HTTP authentication.
        ``prefixes``: of tokens. ``forms``: configured secrets as texts spell them; ``encoded``: what base64 makes of
        them. Raises `ValueError` for an empty form."""
    def scrub(self, text: str, /) -> str:
        """The text with ``[redacted]`` for each credential, in whatever nesting of percent-encoding, JSON, Python's
        reprs, UTF-16 and base64 it is written; the same text where there is none. A text of more than 32,768 characters
        is cut off there, and says so."""
    def steps(self, text: str, /) -> int:
        """How many bytes scanning the text reads, some of them more than once."""

def hash_arguments(arguments: Mapping[str, Any] | bytes, *, key: bytes | None = None) -> str:
    """``sha256:<hex>`` of the canonical form of a mapping, or of the bytes of any JSON value; with ``key``,
    ``hmac-sha256:<hex>``. The form is that of RFC 8785, but from 2**53 on no integer shares it with a double or another
    integer. Raises `Malformed` for what is not strict JSON."""

@final
class Envelope:
    """One JSON-RPC message, read strictly."""

    @property
    def kind(self) -> str:
        """``request``, ``notification`` or ``response``."""
    @property
    def method(self) -> str | None: ...
    @property
    def id(self) -> str | int | None: ...
    @property
    def name(self) -> str | None:
        """``params.name``."""
    @property
    def uri(self) -> str | None:
        """``params.uri``."""
    @property
    def reference(self) -> tuple[str, str] | None:
        """``params.ref`` of a completion: its ``type``, and its ``name`` or ``uri``."""
    @property
    def traceparent(self) -> str | None:
        """``params._meta.traceparent`` as it is written; None where it is absent, no string, or longer than 64
        bytes."""
    @property
    def arguments_size(self) -> int:
        """Bytes of ``params.arguments`` as written in the body; 0 where they are absent."""
    def hash_arguments(self, *, key: bytes | None = None) -> str:
        """`hash_arguments` of ``params.arguments``; absent or null hashes as ``{}``."""
    def digest_arguments(self, *, key: bytes | None = None) -> str:
        """``sha256:<hex>`` of ``params.arguments`` as written in the body, with ``key`` ``hmac-sha256:<hex>``: unlike
        `hash_arguments` it changes with white space and the order of members, and costs one pass over the bytes."""
    def param(self, name: str, *, max_bytes: int) -> Any:
        """A member of the params as Python objects: ``_meta``, ``arguments``, ``inputResponses``, ``notifications`` or
        ``requestState``; None where it is absent. Raises `Malformed` (``invalid_request``) where it is longer than
        ``max_bytes`` in the body, and `ValueError` for another name."""

def read_envelope(body: bytes) -> Envelope:
    """Read a request body once. Raises `Malformed`: ``invalid_json`` or ``invalid_request``."""

def token_issuer(token: str | bytes) -> str | None:
    """The `iss` that a JWT claims, nothing of it verified: only to choose whose keys are asked. The empty string
    where it names none; None for what is not a JWT by its form (three parts, the first a JSON object). Raises
    `Unauthenticated` for a JWT that cannot be read."""

def token_kind(claims: bytes) -> Literal["access", "unknown", "other"]:
    """What a set of claims, a JSON object, shows of the kind of its token where no header says so (RFC 8725 section
    3.12): an access token; another kind, like an ID token; or neither, which is not enough. Raises `Unauthenticated`
    for what is not a JSON object."""

def subject_by(rule: str, sub: str | None, username: str | None, client_id: str | None) -> str:
    """The subject of a token or an introspection answer, by the ``subject`` of `Verifier`. Raises `Unauthenticated`
    where the rule finds none, and `ValueError` for a rule that does not exist."""

def verify_jws(token: str | bytes, keys: KeySet, algorithms: Sequence[str]) -> bytes:
    """The payload of a compact JWS after its signature verifies: the signature layer alone, for test vectors. Ignores
    `typ`, `jwk`, `jku`, `x5c`; refuses `crit`."""
