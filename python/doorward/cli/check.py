"""``doorward check``: the start-up summary of a configuration, without starting a server and without the network. Exit
codes: 0 where nothing was found, 1 with problems or for a configuration that a server refuses, 2 for a file that cannot
be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Final

import typer

from doorward.cli.places import CONFIG
from doorward.cli.saying import fail, output, printable
from doorward.config import Source
from doorward.settings import Configuration
from doorward.startup import Summary, summarise
from doorward.tokens import agents_file
from doorward.tokens.toml_tables import Wrong
from doorward.transport import Transport

__all__ = ["check"]

_PROBLEMS: Final = 1


def check(
    config: Annotated[Path, typer.Option(help="The configuration to check.")] = CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Check a configuration: what it does, and what in it will fail at the first call. Needs the environment variables
    and files that it names; connects to nothing."""
    source = Source(config, watched=False)
    try:
        summary = _summary(source)
    except OSError as error:
        fail(f"{error.filename or config} cannot be read: {error.strerror}; `doorward init` writes a first one")
    except (ImportError, ValueError) as error:
        located = source.located(error) if isinstance(error, ValueError) else error
        fail(printable(located), code=_PROBLEMS)
    with output():
        if as_json:
            print(json.dumps(_as_json(summary), indent=2))
        else:
            _print(summary)
    if summary.problems:
        raise typer.Exit(_PROBLEMS)


def _summary(source: Source) -> Summary:
    configuration = Configuration(**source.load())
    Transport(
        configuration.resource,
        allowed_hosts=configuration.allowed_hosts,
        allowed_origins=configuration.allowed_origins,
        trusted_proxies=configuration.trusted_proxies,
        client_certificate=configuration.client_certificate,
        max_body_bytes=configuration.max_body_bytes,
    )
    agents = configuration.agents
    if agents is None:
        return summarise(configuration)
    try:
        return summarise(configuration, agents_file.read(Path(agents.file)))
    except OSError as error:
        raise ValueError(f"agents.file {agents.file} cannot be read: {error.strerror}") from None
    except Wrong as error:
        raise ValueError(f"agents.file {agents.file}:{error.line}: {error}") from None


def _print(summary: Summary) -> None:
    for name, value in summary.facts:
        print(f"{name:<10}{printable(value)}")
    for label, findings in (("problem", summary.problems), ("note", summary.notes)):
        for finding in findings:
            print(f"{label:<10}{finding.code}: {printable(finding.message)}")
    if not summary.problems:
        print("no problems found")


def _as_json(summary: Summary) -> dict[str, object]:
    return {
        "facts": dict(summary.facts),
        "problems": [finding._asdict() for finding in summary.problems],
        "notes": [finding._asdict() for finding in summary.notes],
    }
