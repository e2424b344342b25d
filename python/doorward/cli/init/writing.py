"""A proposal as the text of a ``doorward.toml`` that a person goes on with."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from doorward.cli.init.proposing import Proposal, Section, quoted
from doorward.cli.saying import printable

__all__ = ["Settings", "written"]

_WIDTH: Final = 118

_LIMITS: Final = {"read": "", "write": "60/minute", "destroy": "10/minute"}
"""Per client and rule. What only reads has the client's own budget alone."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the server does not say."""

    resource: str | None = None
    issuer: str | None = None
    audit: str = "audit.jsonl"
    read_scope: str = "mcp:read"
    write_scope: str = "mcp:write"


def written(server: str, sections: Iterable[Section], settings: Settings, *, command: str) -> str:
    """The whole file. ``command``: how the server was named, for whoever wants to look again."""
    parts = [_head(server, command), _resource(settings), _scopes(settings)]
    for section in sections:
        if section.proposals or section.never:
            parts += _section(section, settings)
    return "\n".join([*parts, _LIMITS_TABLE, f"[audit]\npath = {_string(settings.audit)}\n"])


def _head(server: str, command: str) -> str:
    return _comment(
        f"First rules for the server {quoted(server)}, made by `doorward init` from what it says of itself. That is "
        "a hint and no promise: read them, and edit. The first rule whose match fits governs; what no rule fits nobody "
        f"can call. `doorward rules {command}` shows which rule governs what. All keys stand in docs/configuration.md "
        "of doorward."
    )


def _resource(settings: Settings) -> str:
    resource = _placeholder("resource", settings.resource, "https://mcp.example.com/mcp")
    issuer = _placeholder("url", settings.issuer, "https://auth.example.com")
    return f"""\
# What clients call: the audience that every token must name.
{resource}

# Who issues the tokens. Its keys are found from there, unless jwks_url or jwks_file says where they are.
[[issuer]]
{issuer}
algorithms = ["ES256", "RS256"]
# A stolen token works until it expires. Tokens that live longer than this are refused.
max_token_lifetime = "24h"
"""


def _scopes(settings: Settings) -> str:
    return f"""\
# A broader scope implies narrower ones. The issuer must know these names.
[scopes]
{_string(settings.write_scope)} = [{_string(settings.read_scope)}]
"""


_LIMITS_TABLE: Final = """\
# What each client may call altogether. Several instances or workers share it, and open questions, through a Redis:
# store = "redis://..."
[limits]
client = ["600/minute", "20000/day"]
"""


def _section(section: Section, settings: Settings) -> Iterator[str]:
    title = f"# --- {section.title} ".ljust(_WIDTH, "-") + "\n"
    if not all(proposal.is_told for proposal in section.proposals):
        title += _comment(_UNTOLD)
    if section.never:
        title += "".join(_comment(sentence) for sentence in section.never)
    yield title
    for proposal in section.proposals:
        yield _rule(section.table, proposal, settings)


_UNTOLD: Final = (
    "A tool that says nothing of what it does may destroy: so the protocol has it (readOnlyHint is false and "
    "destructiveHint true unless the server says otherwise), and so each call has to be confirmed. Where that is too "
    "much, let the server say what its tools do and run `doorward init --force` again, or take confirm away below."
)


def _rule(table: str, proposal: Proposal, settings: Settings) -> str:
    scope = settings.read_scope if proposal.effect == "read" else settings.write_scope
    lines = [f"[[{table}]]", f"match = {_string(proposal.match)}", f"scopes = [{_string(scope)}]"]
    if _LIMITS[proposal.effect]:
        lines.append(f"limit = [{_string(_LIMITS[proposal.effect])}]")
    if proposal.effect == "destroy":
        lines.append("confirm = true")
    if not proposal.is_written:
        lines = [f"# {line}" for line in lines]
    return _comment(proposal.why) + "\n".join(lines) + "\n"


def _placeholder(key: str, value: str | None, example: str) -> str:
    """What is missing stops the start, and does not start with somebody else's."""
    return f'# {key} = "{example}"  # to be filled in' if value is None else f"{key} = {_string(value)}"


def _comment(text: str) -> str:
    # TOML has no controls in comments, and file systems have names with some.
    lines = textwrap.wrap(printable(text), _WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    return "".join(f"# {line}\n" for line in lines)


def _string(text: str) -> str:
    """A basic string of TOML; what nobody could see is spelled out."""
    return f'"{"".join(map(_character, text))}"'


def _character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"
