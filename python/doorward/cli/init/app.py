"""The command."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from doorward import checks
from doorward.cli.init.proposing import Section, sections
from doorward.cli.init.writing import Settings, written
from doorward.cli.places import CONFIG
from doorward.cli.saying import fail, printable
from doorward.cli.servers import (
    Chosen,
    CommandOption,
    ServerArgument,
    TokenOption,
    UrlOption,
    look,
)
from doorward.config import MAX_BYTES
from doorward.resource import parse_resource

__all__ = ["init"]

_MODE: Final = 0o644
"""Nothing in it is a secret, and servers run as another user than whoever edits."""


def init(
    server: ServerArgument = None,
    url: UrlOption = None,
    command: CommandOption = None,
    token_env: TokenOption = None,
    resource: Annotated[str | None, typer.Option(help="The URL that clients call.", show_default=False)] = None,
    issuer: Annotated[str | None, typer.Option(help="The URL of the authorization server.", show_default=False)] = None,
    output: Annotated[Path, typer.Option(help="The file to write; - for the standard output.")] = CONFIG,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    audit: Annotated[str, typer.Option(help="Where the audit trail goes: a file, or stdout.")] = "audit.jsonl",
    read_scope: Annotated[str, typer.Option(help="The scope for what only reads.")] = "mcp:read",
    write_scope: Annotated[str, typer.Option(help="The scope for everything else.")] = "mcp:write",
) -> None:
    """Write a first doorward.toml from what a server says of its tools, resources and prompts."""
    chosen = Chosen(server, url, command, token_env)
    try:
        settings = _settings(resource, issuer, audit, read_scope, write_scope)
        if output.exists() and not force and str(output) != "-":
            raise ValueError(f"{output} is there already: --force replaces it, --output names another file")
        catalogue = look(chosen).catalogue
        proposed = list(sections(catalogue))
        text = written(catalogue.server, proposed, settings, command=str(chosen))
        if len(text.encode()) > MAX_BYTES:
            raise ValueError(
                f"{len(catalogue.items)} names are more than a file has room for: write rules with * by hand"
            )
        _write(output, text, force=force)
    except (OSError, ValueError) as error:
        fail(printable(error))
    _tell(output, proposed, settings, chosen)


def _settings(resource: str | None, issuer: str | None, audit: str, read_scope: str, write_scope: str) -> Settings:
    if resource is not None:
        resource = parse_resource(resource)
    if issuer is not None:
        checks.web_url("--issuer", issuer)
    checks.scopes("--read-scope", [read_scope])
    checks.scopes("--write-scope", [write_scope])
    if read_scope == write_scope:
        raise ValueError("--read-scope and --write-scope must be two: else whoever may read may destroy")
    return Settings(resource, issuer, checks.text("--audit", audit), read_scope, write_scope)


def _write(output: Path, text: str, *, force: bool) -> None:
    """What is there is replaced as a whole: a server may be reading it."""
    if str(output) == "-":
        sys.stdout.write(text)
        return
    if not force:
        _write_new(output, text)
        return
    path = output.resolve()  # of a link, the file that it leads to
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        _write_new(new, text)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def _write_new(path: Path, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE), "w", encoding="utf-8") as file:
        file.write(text)


def _tell(output: Path, proposed: list[Section], settings: Settings, chosen: Chosen) -> None:
    """What to do next, on the standard error: the file itself may be on the other."""
    lines = []
    for section in proposed:
        rules = [proposal for proposal in section.proposals if proposal.is_written]
        if section.proposals or section.never:
            left = len(section.proposals) - len(rules) + len(section.never)
            lines.append(f"{section.title}: {len(rules)}" + (f", and {left} left to you" if left else ""))
    untold = sum(not proposal.is_told for section in proposed for proposal in section.proposals)
    if untold:
        lines.append(
            f"tools that do not say what they do: {untold}; they count as destructive, so each call has to be confirmed"
        )
    missing = [name for name, value in (("resource", settings.resource), ("issuer", settings.issuer)) if value is None]
    if missing:
        lines.append(f"fill in before a server starts with it: {', '.join(missing)}")
    lines.append(f"look at it with: doorward rules {chosen}")
    print(f"{output}: a rule for each name\n" + "\n".join(f"  {printable(line)}" for line in lines), file=sys.stderr)
