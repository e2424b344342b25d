"""The command."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from doorward.cli.places import CONFIG
from doorward.cli.rules.governed import Governed, budgets, govern, table_of
from doorward.cli.saying import fail, output, printable
from doorward.cli.servers import (
    Chosen,
    CommandOption,
    ServerArgument,
    TokenOption,
    UrlOption,
    look,
)
from doorward.cli.servers.catalogue import Item
from doorward.cli.tables import print_table
from doorward.config import load_rules
from doorward.policy import Policy
from doorward.settings import Rule

__all__ = ["rules"]

_COLUMNS: Final = ("what", "name", "it says", "rule", "scopes", "budgets", "confirm", "mode")
_NONE: Final = "NONE: nobody can call it"
_SAYS: Final = {"read": "reads", "write": "writes", "destroy": "destroys"}
_FOUND: Final = 1
"""The exit code of ``--strict`` for a server and rules that do not cover each other."""


def rules(
    server: ServerArgument = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="The file with the rules; nothing else in it is looked at. By default those of the gate that the "
            "server's module makes, and doorward.toml where it makes none or loads a file."
        ),
    ] = None,
    url: UrlOption = None,
    command: CommandOption = None,
    token_env: TokenOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="End with 1 where something has no rule, or a rule governs nothing.")
    ] = False,
) -> None:
    """Show which rule governs each tool, resource and prompt of a server, and which none does."""
    try:
        governed, of = _governed(config, Chosen(server, url, command, token_env))
    except OSError as error:
        fail(f"{error.filename} cannot be read: {error.strerror}; `doorward init` writes a first one")
    except ValueError as error:
        fail(printable(error))
    with output():
        if as_json:
            print(json.dumps(governed.as_json(), indent=2))
        else:
            _show(governed, of)
    if strict and (governed.ungoverned or governed.idle):
        sys.exit(_FOUND)


def _governed(config: Path | None, chosen: Chosen) -> tuple[Governed, str]:
    """And whose rules they are."""
    # Before the server, where they are certain: a mistake in a file is told at once.
    written = None if config is None else _written(config)
    looked = look(chosen)
    if written is None and looked.configuration is not None:
        made = looked.configuration
        return govern(looked.catalogue, made.rules, Policy(made.rules, made.scopes)), "its gate"
    rules, policy = written or _written(CONFIG)
    return govern(looked.catalogue, rules, policy), str(config or CONFIG)


def _written(config: Path) -> tuple[list[Rule], Policy]:
    loaded = load_rules(config)
    hierarchy = loaded.pop("scopes", {})
    rules: list[Rule] = [rule for table in loaded.values() for rule in table]
    return rules, Policy(rules, hierarchy)


def _show(governed: Governed, of: str) -> None:
    rows = [row for item, governing in governed.items for row in _rows(item, governing)]
    print_table(f"What the rules of {of} say of it", _COLUMNS, rows)
    print(f"\n{len(governed.items)} names, {len(governed.ungoverned)} of them without a rule")
    for rule in governed.idle:
        print(f"governs nothing here: [[{table_of(rule)}]] match = {printable(rule.match)}")


def _rows(item: Item, governing: tuple[Rule, ...]) -> list[tuple[str, ...]]:
    """One for each rule; more than one only for what stands for many names."""
    says = "" if item.kind != "tool" else _SAYS[item.effect] if item.is_told else "nothing"
    about = (item.kind, printable(item.name), says)
    if not governing:
        return [(*about, _NONE, "", "", "", "")]
    return [
        (
            *about,
            printable(rule.match),
            " ".join(rule.scopes) or "none",
            budgets(rule),
            "yes" if rule.confirm else "",
            rule.mode,
        )
        for rule in governing
    ]
