"""``doorward.toml``: errors that lead to the very line, and repeat no secret."""

from __future__ import annotations

import errno
import re
from pathlib import Path
from typing import Any

import pytest
from configured import HEAD, KEY, Configured, asked

from doorward.config import load
from doorward.gate import Gate

WRONG: dict[str, tuple[Any, ...]] = {
    # beside the tables: line 6 is the first behind the head
    "missing resource": ("[[issuer]]", "1: resource: is missing"),
    "missing issuer": ('resource = "https://a"', "1: issuer: is missing"),
    "unknown at the top": ('resorce = "https://a"', "1: resorce: unknown key, did you mean resource?"),
    "unknown table": (f"{HEAD}\n[limit]\n", "7: limit: unknown key, did you mean [limits]?"),
    "unknown array": (f"{HEAD}[[tools]]\nmatch = 1", "6: tools: unknown key, did you mean [[tool]]?"),
    "unknown and unlike": (f"{HEAD}[zzz]", "6: zzz: unknown key, known are resource, audiences, organization_claim"),
    "tables for the resource's own key": (
        f'{HEAD}[[resources]]\nmatch = "a:*"',
        "6: resources: unknown key, did you mean [[resource_rule]]?",
    ),
    "the resource's own key as a table": (
        f'[[resource]]\nmatch = "a:*"\n[[issuer]]{HEAD.partition("[[issuer]]")[2]}',
        "1: resource: must be a string, the URL that clients use; rules for resources stand in [[resource_rule]]",
    ),
    "a key of another table": (
        f"{HEAD}[limits]\ncheckpoint = 1",
        "7: [limits] checkpoint: unknown key, it belongs under [audit]",
    ),
    "a misspelt key that is a table elsewhere": (
        f'{HEAD}[[tool]]\nmatch = "a"\nscopes = []\nlimits = ["6/minute"]',
        "9: [[tool]] limits: unknown key, did you mean limit?",
    ),
    "another product's word for a limit": (
        f'{HEAD}[[tool]]\nmatch = "a"\nscopes = []\nrate_limit = "6/minute"',
        "9: [[tool]] rate_limit: unknown key, did you mean limit?",
    ),
    "another product's word for a match": (
        f'{HEAD}[[tool]]\nname = "a"\nscopes = []',
        "7: [[tool]] name: unknown key, did you mean match?",
    ),
    "an issuer's URL called issuer": (
        HEAD.replace("url =", "issuer ="),
        "3: [[issuer]] issuer: unknown key, did you mean url?",
    ),
    "the name of RFC 8414 for the keys": (
        HEAD.replace('jwks_file = "jwks.json"', 'jwks_uri = "https://a"'),
        "5: [[issuer]] jwks_uri: unknown key, did you mean jwks_url?",
    ),
    "a key of rules": (
        f'{HEAD}[limits]\ntotal_limit = ["6/minute"]',
        "7: [limits] total_limit: unknown key, it belongs under [[tool]] or",
    ),
    "a key of the top in a table": (
        f"{HEAD}max_body_bytes = 5",
        "6: [[issuer]] max_body_bytes: unknown key, it belongs at",
    ),
    "a key of a table at the top": (f"snapshot = 'a'\n{HEAD}", "1: snapshot: unknown key, it belongs under [limits]"),
    "what could mean anything": (
        f'{HEAD}[audit]\nfile = "a"',
        "7: [audit] file: unknown key, known are path, dura",
    ),
    "a string": ("resource = 1\nissuer = []", "1: resource: must be a string"),
    "strings": (f'allowed_hosts = "a"\n{HEAD}', "1: allowed_hosts: must be a list of strings"),
    "a list of other things": (f"allowed_hosts = [1]\n{HEAD}", "1: allowed_hosts: must be a list of strings"),
    "a host": (f'\nallowed_hosts = ["a/b"]\n{HEAD}', "2: allowed_hosts: 'a/b' is not a host"),
    "an origin": (f'allowed_origins = ["a"]\n{HEAD}', "1: allowed_origins: 'a' is not an origin"),
    "a proxy": (f'trusted_proxies = ["a"]\n{HEAD}', "1: trusted_proxies: 'a' does not appear to be an IPv4 or IPv6"),
    "a certificate header": (
        f'client_certificate = "X-Cert"\n{HEAD}',
        "1: client_certificate: 'X-Cert' is not a certificate header that can be read: use one of Client-Cert, X-F",
    ),
    "a list of certificate headers": (
        f'client_certificate = ["Client-Cert"]\n{HEAD}',
        "1: client_certificate: must be a string",
    ),
    "every proxy": (f'trusted_proxies = ["::/0"]\n{HEAD}', "1: trusted_proxies: '::/0' is everybody"),
    "a challenge": (f'challenge_scopes = ["a b"]\n{HEAD}', "1: challenge_scopes: has 'a b': a scope is visible"),
    "an integer": (f"max_body_bytes = true\n{HEAD}", "1: max_body_bytes: must be an integer"),
    "scopes as a list": (f'scopes = ["a"]\n{HEAD}', "1: scopes: must be a table"),
    "a scope that implies text": (f'{HEAD}[scopes]\na = "b"', "7: [scopes] a: must be a list"),
    "a scope that implies itself": (
        f'{HEAD}[scopes]\na = ["b"]\nb = ["a"]',
        "7: [scopes] a: implies itself: one scope on the way",
    ),
    "a scope that is none": (f'{HEAD}[scopes]\n\n"a b" = []', "8: [scopes] a b: has 'a b': a scope is visible ASCII"),
    # issuers
    "a single table": ('resource = "https://a"\n[issuer]', "2: issuer: must be an array of tables: write [[issuer]]"),
    "an array of other things": ('resource = "https://a"\nissuer = [1]', "2: [[issuer]]: must be a table"),
    "keys twice": (
        f"{HEAD}jwks = {{ keys = [] }}",
        "6: [[issuer]] jwks: must not stand beside jwks_file: the keys come",
    ),
    "keys given and fetched": (
        f'{HEAD}jwks_url = "https://a/b"',
        "6: [[issuer]] jwks_url: must not stand beside jwks_",
    ),
    "a url of keys": (HEAD.replace("jwks_file", "jwks_url"), "5: [[issuer]] jwks_url: is 'jwks.json': it must be like"),
    "keys that are never too old": (
        f'{HEAD}max_stale = "31d"',
        "6: [[issuer]] max_stale: must be from 0 seconds to 30",
    ),
    "keys older than new": (f"{HEAD}max_stale = -1", "6: [[issuer]] max_stale: must be from 0 seconds to 30 days"),
    "no file": (HEAD.replace("jwks.json", "no.json"), "5: [[issuer]] jwks_file: the file cannot be read: No such file"),
    "not a file": (HEAD.replace("jwks.json", "."), "5: [[issuer]] jwks_file: the file cannot be read: Is a directory"),
    "not a path": (HEAD.replace("jwks.json", r"a\u0000"), "5: [[issuer]] jwks_file: is not a path"),
    "not a key set": (HEAD.replace("jwks.json", "key"), "5: [[issuer]] jwks_file: is not a JSON Web Key Set"),
    "without end": (HEAD.replace("jwks.json", "/dev/zero"), "5: [[issuer]] jwks_file: the file is larger than 524288"),
    "no key set": (HEAD.replace("jwks_file", "jwks"), "5: [[issuer]] jwks: must be a table, like { keys = [...] }"),
    "a date as a key": (
        HEAD.replace('jwks_file = "jwks.json"', "jwks = { keys = [1979-05-27] }"),
        "5: [[issuer]] jwks: is not a JSON Web Key Set",
    ),
    "an algorithm": (HEAD.replace("ES256", "none"), "4: [[issuer]] algorithms: are wrong: none is not an algorithm"),
    "an algorithm among others": (
        HEAD.replace('["ES256"]', '["ES256", "RS265"]'),
        "4: [[issuer]] algorithms: has 'RS265', which is not offered; did you mean RS256?",
    ),
    "a secret algorithm": (HEAD.replace("ES256", "HS256"), "4: [[issuer]] algorithms: has 'HS256', a shared secret: "),
    "keys in the clear": (
        HEAD.replace('jwks_file = "jwks.json"', 'jwks_url = "http://as.example.com/keys"'),
        "5: [[issuer]] jwks_url: must be https, or on this machine",
    ),
    "an issuer in the clear": (
        HEAD.replace("https://as", "http://as").replace('jwks_file = "jwks.json"', ""),
        "3: [[issuer]] url: must be https, or on this machine",
    ),
    "no algorithms": (HEAD.replace('["ES256"]', "[]"), "4: [[issuer]] algorithms: must be a list of strings, and not"),
    "a url": (HEAD.replace("https://as", "as"), "3: [[issuer]] url: is 'as.example.com': it must be like"),
    "a leeway": (f"{HEAD}leeway = -1", "6: [[issuer]] leeway: is not from 0 to 300 seconds"),
    "no number": (f"{HEAD}leeway = nan", "6: [[issuer]] leeway: must be seconds, or a duration"),
    "too large a number": (f"{HEAD}leeway = 1{'0' * 400}", "6: [[issuer]] leeway: must be seconds, or a duration"),
    "a duration": (f'{HEAD}leeway = "soon"', "6: [[issuer]] leeway: must be seconds, or a duration"),
    "a subject that no rule knows": (
        f'{HEAD}subject = "client_id"',
        "6: [[issuer]] subject: is 'client_id': it must be sub or username or client",
    ),
    "a negative lifetime": (f"{HEAD}max_token_lifetime = -5", "6: [[issuer]] max_token_lifetime: is not a positive"),
    "an issuer twice": (HEAD + HEAD.partition("\n")[2], "7: [[issuer]] url: stands here twice"),
    # introspection: line 6 is that of the inline table
    "no table": (f'{HEAD}introspection = "https://a"', "6: [[issuer]] introspection: must be a table"),
    "no endpoint": (asked(url=None), "6: [[issuer]] introspection.url: is missing"),
    "an endpoint in the clear": (
        asked(url="'http://a/b'"),
        "6: [[issuer]] introspection.url: must be https, or on this",
    ),
    "an endpoint that is none": (asked(url="'a/b'"), "6: [[issuer]] introspection.url: is 'a/b': it must be like"),
    "no client": (asked(client_id=None), "6: [[issuer]] introspection.client_id: is missing"),
    "no secret": (asked(secret=None), "6: [[issuer]] introspection: secret is missing: give it, or a private_key"),
    "a secret and a key": (
        asked(private_key="{ file = 'key' }"),
        "6: [[issuer]] introspection.private_key: must not stand beside secret",
    ),
    "a delay": (asked(max_revocation_delay="'2h'"), "6: [[issuer]] introspection.max_revocation_delay: must be from 1"),
    "no delay": (asked(max_revocation_delay="0"), "6: [[issuer]] introspection.max_revocation_delay: must be from 1"),
    "nothing to ask": (asked(opaque="false"), "6: [[issuer]] introspection: jwts must be true where opaque is false"),
    "nothing to ask, said twice": (
        asked(opaque="false", jwts="false"),
        "6: [[issuer]] introspection.jwts: must be true where opaque is false",
    ),
    "a flag of introspection": (asked(jwts="1"), "6: [[issuer]] introspection.jwts: must be true or false"),
    "misspelt in introspection": (
        asked(clientid="'a'"),
        "6: [[issuer]] introspection.clientid: unknown key, did you mea",
    ),
    "in a table of its own": (
        f"{HEAD}[issuer.introspection]\nurl = 'https://a/b'\nclientid = 'a'",
        "8: [[issuer]] introspection.clientid: unknown key, did you mean client_id?",
    ),
    "two issuers for opaque tokens": (
        asked() + "\n" + asked().partition("\n")[2].replace("https://as", "https://as2"),
        "11: [[issuer]] introspection.opaque: must be false: another issuer is asked about opaque tokens already",
    ),
    # the files of agents and of what was revoked
    "agents without a file": (f"{HEAD}[agents]", "6: [agents] file: is missing"),
    "agents in an empty file": (f"{HEAD}[agents]\nfile = ''", "7: [agents] file: must be a string, and not empty"),
    "a revocation elsewhere": (
        f"{HEAD}[revocation]\nfiles = 'a'",
        "7: [revocation] files: unknown key, did you mean file?",
    ),
    "revocations as a path": (
        f"{HEAD}revocation = 'a'",
        "6: [[issuer]] revocation: unknown key, it is a table of its own: [",
    ),
    # rules
    "no scopes": (f'{HEAD}[[tool]]\nmatch = "a"', "6: [[tool]] scopes: is missing"),
    "a misspelt key": (
        f'{HEAD}[[tool]]\nmatch = "a"\nscopes = []\n[[tool]]\nmatch = "b"\nscope = []',
        "11: [[tool]] scope: unknown key, did you mean scopes?",
    ),
    "a budget": (
        f'{HEAD}[[tool]]\nmatch = "a"\nscopes = []\nlimit = [\n  "6/minute",\n  "6/era",\n]',
        '11: [[tool]] limit.rate: is wrong: "6/era" is not a limit',
    ),
    "in a budget": (
        f'{HEAD}[[tool]]\nmatch = "a"\nscopes = []\nlimit = ["6/minute", {{ rate = "6/day", strct = true }}]',
        "9: [[tool]] limit.strct: unknown key, did you mean strict?",
    ),
    "no budget": (
        f'{HEAD}[[tool]]\nmatch = "a"\nscopes = []\nlimit = [6]',
        '9: [[tool]] limit: must be a rate like "600/minute"',
    ),
    "no list of budgets": (
        f'{HEAD}[[tool]]\nmatch = "a"\nscopes = []\nlimit = "6/minute"',
        '9: [[tool]] limit: must be a list, like ["600/minute"]',
    ),
    "the same unit twice": (
        f'{HEAD}[[tool]]\nmatch = "a"\nscopes = []\ntotal_limit = ["6/day", "7/day"]',
        "9: [[tool]] total_limit: has two budgets for the same unit",
    ),
    "a cost": (f'{HEAD}[[prompt]]\nmatch = "a"\nscopes = []\ncost = -1', "9: [[prompt]] cost: must be a whole number"),
    "a cost that never fits": (
        f'{HEAD}[[tool]]\nmatch = "a"\nlimit = ["6/minute"]\ncost = 7\nscopes = []',
        "9: [[tool]] cost: is 7: more than 6/minute ever holds",
    ),
    "a mode": (f'{HEAD}[[tool]]\nmatch = "a"\nscopes = []\nmode = "off"', "9: [[tool]] mode: is 'off': it must be"),
    "a flag": (f'{HEAD}[[tool]]\nmatch = "a"\nscopes = []\nconfirm = 1', "9: [[tool]] confirm: must be true or false"),
    "a shadowed rule": (
        f'{HEAD}[[tool]]\nmatch = "*"\nscopes = []\n[[tool]]\nscopes = []\nmatch = "a"',
        "11: [[tool]] match: 'a' can never match: '*' stands before it",
    ),
    "no such method": (
        f'{HEAD}[[method]]\nmatch = "tools/call"\nscopes = []',
        "7: [[method]] match: can never match: the methods are",
    ),
    "a method that a human confirms": (
        f'{HEAD}[[method]]\nmatch = "tools/list"\nscopes = []\nconfirm = true',
        "9: [[method]] confirm: is for tools, resources and prompts",
    ),
    "a disguised resource": (
        f'{HEAD}[[resource_rule]]\nmatch = "file:///a/../*"\nscopes = []',
        "7: [[resource_rule]] match: can never match: dot segments",
    ),
    "a resource said twice, once encoded": (
        f'{HEAD}[[resource_rule]]\nmatch = "a:%C3%A9*"\nscopes = []\n[[resource_rule]]\nmatch = "a:é*"\nscopes = []',
        "10: [[resource_rule]] match: 'a:é*' can never match: 'a:é*' stands before it",
    ),
    "rules for the resource's own key": (
        f'{HEAD}[[resource_rul]]\nmatch = "a:*"\nscopes = []',
        "6: resource_rul: unknown key, did you mean [[resource_rule]]?",
    ),
    # limits and audit
    "limits": (f"{HEAD}[limits]\nmax_keys = 0", "7: [limits] max_keys: must be a whole number, at least 1"),
    "failures": (f'{HEAD}[limits]\nfailed_auth = ["5/minute"]', "7: [limits] failed_auth: must be a rate like"),
    "no stream": (f"{HEAD}[limits]\nstreams = 0", "7: [limits] streams: must be a whole number, at least 1"),
    "no slot": (f"{HEAD}[limits]\nconcurrency = 0", "7: [limits] concurrency: must be a whole number, at least 1"),
    "a store": (f'{HEAD}[limits]\nstore = "mysql://a"', '7: [limits] store: must be "memory" or the URL of a'),
    "a store with a password": (
        f'{HEAD}[limits]\nstore = "redis://:hunter2@a"',
        "7: [limits] store: must not hold a password: write { env",
    ),
    "a mode without a store": (f'{HEAD}[limits]\nmode = "leased"', "7: [limits] mode: must stand beside a store"),
    "a store's mode": (f'{HEAD}[limits]\nmode = "fast"', "7: [limits] mode: is 'fast': it must be exact or leased"),
    "a policy": (f'{HEAD}[limits]\non_error = "open"', "7: [limits] on_error: is 'open': it must be local or deny or"),
    "no instance": (f"{HEAD}[limits]\ninstances = 0", "7: [limits] instances: must be a whole number, at least 1"),
    "a prefix": (f'{HEAD}[limits]\nprefix = "{{a}}"', "7: [limits] prefix: must be 1 to 64 letters, digits"),
    "a snapshot and a store": (
        f'{HEAD}[limits]\nstore = "redis://a"\nsnapshot = "a"',
        "8: [limits] snapshot: must not stand beside a store",
    ),
    "limits as a list": (f"{HEAD}[[limits]]", "6: limits: must be a table"),
    "durability": (f'{HEAD}[audit]\ndurability = "eventual"', "7: [audit] durability: is 'eventual': it must be"),
    "no webhook over plain http": (
        f'{HEAD}[confirmation]\nwebhook_key = {{ file = "key" }}\nwebhook = "http://a/hunter2"',
        "8: [confirmation] webhook: must be an https URL",
    ),
    "a webhook without its key": (
        f'{HEAD}[confirmation]\nwebhook = "https://a"',
        "6: confirmation: webhook_key must stand beside webhook",
    ),
    "a question without end": (f"{HEAD}[confirmation]\nlifetime = '2h'", "7: [confirmation] lifetime: must be from 10"),
    "asking without end": (f"{HEAD}[confirmation]\nasks = []", "7: [confirmation] asks: must name a budget"),
    "a misspelt budget of asking": (f"{HEAD}[confirmation]\nask = []", "7: [confirmation] ask: unknown key, did you"),
    "a checkpoint": (f"{HEAD}[audit]\ncheckpoint = true", "7: [audit] checkpoint: must be a table"),
    "a checkpoint without its key": (f"{HEAD}[audit.checkpoint]\nevery = 2", "6: [audit] checkpoint.key: is missing"),
    "a checkpoint now and then": (
        f'{HEAD}[audit.checkpoint]\nkey = {{ file = "key" }}\nevery = 0',
        "8: [audit] checkpoint.every: must be a whole number, at least 1",
    ),
    "durable without a file": (
        f'{HEAD}[audit]\ndurability = "durable"',
        "7: [audit] durability: is 'durable': that needs",
    ),
    "a sink that is none": (
        f"{HEAD}[[audit.sink]]\ndaily = true",
        "6: [audit] sink: path, syslog, otel or sink must be given",
    ),
    "a sink's syslog": (
        f'{HEAD}[[audit.sink]]\nsyslog = "udp://a"',
        "7: [audit] sink.syslog: is 'udp://a': it must be like",
    ),
    "a sink and a path": (
        f'{HEAD}[audit]\npath = "a"\n[[audit.sink]]\npath = "b"',
        "8: [audit] sink: must not stand beside path",
    ),
    "an empty path": (f'{HEAD}[audit]\npath = ""', "7: [audit] path: must be a string, and not empty"),
    # TOML itself
    "not TOML": (f"{HEAD}[limits\n", "6: "),
    "a key twice": (f'{HEAD}url = "b"', "6: Cannot overwrite a value"),
    "a table of a key": (
        f'{HEAD}[[resource]]\nmatch = "a:*"',
        "6: Cannot overwrite a value: the same key or table stands here twice; rules for resources stand in",
    ),
    "at the end": (f'{HEAD}a = "', "6: "),
    "not UTF-8": (HEAD.encode() + b"\n\xff", "7: not UTF-8"),
    "a byte order mark": (b"\xef\xbb\xbf" + HEAD.encode(), "1: "),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_error_leads_to_the_very_line(configured: Configured, case: str) -> None:
    text, expected = WRONG[case]
    assert configured.problem(text).startswith(f"doorward.toml:{expected}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a = " + "[" * 50_000, "nested too deeply", id="brackets"),
        pytest.param("a = " + "9" * 5_000, "a number that is too long", id="digits"),
        pytest.param("#" * (4 * 1024 * 1024 + 1), "larger than 4194304 bytes", id="bytes"),
    ],
)
def test_a_hostile_file_is_an_error(configured: Configured, text: str, expected: str) -> None:
    assert expected in configured.problem(text)


def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.toml"):
        load(tmp_path / "nowhere.toml")


def test_nobody_waits_long_for_an_error_in_a_large_file(configured: Configured) -> None:
    rules = "".join(f'[[tool]]\nmatch = "tool-{number}"\nscopes = []\n' for number in range(5_000))
    assert re.match(
        r"doorward\.toml:15008: \[\[tool\]\] scope: ", configured.problem(f'{HEAD}{rules}[[tool]]\nmatch="a"\nscope=[]')
    )


# --- what only a gate finds -------------------------------------------------------------------------------------------


UNUSABLE = {
    "no agents": ('[agents]\nfile = "no.toml"', "7: [agents] file: {}/no.toml: there is no such file (`doorward"),
    "agents that everybody writes": (
        '[agents]\nfile = "open.toml"',
        "7: [agents] file: {}/open.toml: can be written",
    ),
    "no revocations": ('[revocation]\nfile = "no.toml"', "7: [revocation] file: {}/no.toml: there is no such file"),
    "no directory for the trail": (
        '[audit]\npath = "no/audit.jsonl"',
        "7: [audit] path: {}/no/audit.jsonl cannot be written: No such file or directory: make its directory first, or",
    ),
    "a directory for the trail": (
        '[audit]\npath = "."',
        "7: [audit] path: {} cannot be written: Is a directory: name a file in it",
    ),
    "no directory for a sink": (
        '[[audit.sink]]\npath = "no/audit.jsonl"',
        "6: [audit] sink: {}/no/audit.jsonl cannot be written: No such file or directory: make its directory first, or",
    ),
    "no directory for the snapshot": (
        '[limits]\nsnapshot = "no/spent"',
        "7: [limits] snapshot: {}/no/spent cannot be written: No such file or directory: make its directory first, or",
    ),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_what_a_gate_cannot_use_leads_to_the_line_as_well(configured: Configured, case: str) -> None:
    text, expected = UNUSABLE[case]
    (configured.directory / "open.toml").touch()
    (configured.directory / "open.toml").chmod(0o666)
    configured.path.write_text(f"{HEAD}{text}")
    with pytest.raises((ValueError, OSError)) as failed:
        Gate.from_file(configured.path)
    assert str(failed.value).startswith(f"{configured.path}:{expected.format(configured.directory)}")
    assert getattr(failed.value, "errno", errno.ENOENT) in (errno.ENOENT, errno.EISDIR)


# --- secrets ----------------------------------------------------------------------------------------------------------

PASTED = "hunter2hunter2hunter2hunter2hunter2"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (f'"{PASTED}"', '7: [audit] key: a secret is { env = "NAME" } or { file = "path" }, never inline'),
        (f'["{PASTED}"]', "7: [audit] key: a secret is"),
        (f'{{ value = "{PASTED}" }}', "7: [audit] key: a secret is"),
        (f'{{ env = "{PASTED}" }}', "7: [audit] key.env: no environment variable of that name is set"),
        (f'{{ file = "{PASTED}" }}', "7: [audit] key.file: the file cannot be read: No such file or directory"),
        (f'{{ file = "key", env = "{PASTED}" }}', "7: [audit] key: a secret is"),
        (f'{{ file = "key", secret = "{PASTED}" }}', "7: [audit] key.secret: unknown key, known are env, file, id"),
        ("{ file = 5 }", "7: [audit] key.file: must be a string"),
        ('{ file = "short" }', "7: [audit] key: must have at least 32 bytes"),
        ('{ file = "empty" }', "7: [audit] key.file: the file is empty"),
    ],
)
def test_an_error_about_a_secret_does_not_repeat_it(configured: Configured, key: str, expected: str) -> None:
    (configured.directory / "empty").write_text("\n")
    told = configured.problem(f"{HEAD}[audit]\nkey = {key}")
    assert told.startswith(f"doorward.toml:{expected}")
    assert "hunter2" not in told


def test_what_is_loaded_does_not_show_its_secrets(configured: Configured) -> None:
    assert KEY not in repr(configured.load(f'{HEAD}[audit]\nkey = {{ file = "key" }}'))
