"""``doorward tokens``: the agents of a file and their tokens."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from doorward.cli.durations import parse_duration, written_duration
from doorward.cli.explain import explain
from doorward.cli.instances import instances, revoke_agent
from doorward.cli.places import agents_file
from doorward.cli.saying import fail
from doorward.cli.tables import print_table
from doorward.tokens import agents_changes
from doorward.tokens import agents_file as files
from doorward.tokens.agents_changes import Changed
from doorward.tokens.agents_file import Agent
from doorward.tokens.last_use import last_use_file, last_uses
from doorward.tokens.toml_tables import Wrong, written_instant

__all__ = ["app"]

_DAY = 86_400.0

_FAR = 90 * _DAY
"""A token that lives longer is worth a warning: whoever finds it has it for as long."""

_NEAR = 7 * _DAY
"""How long before its end a token is marked."""

app = typer.Typer(
    help="Long-lived tokens, one for each agent: made and shown once, kept as hashes in a file. Servers see every "
    "change of the file within about a second.",
    no_args_is_help=True,
)

_File = Annotated[
    Path | None,
    typer.Option("--file", help="The file of agents. By default the one that doorward.toml names, else agents.toml."),
]
_Config = Annotated[Path | None, typer.Option("--config", help="A doorward.toml: its table of agents names the file.")]
_Which = Annotated[str, typer.Argument(metavar="ID", help="The agent's id, or its name.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the agent is called, in records and in lists.")],
    scope: Annotated[list[str], typer.Option(help="What it may do. Give it once for each scope.")],
    organization: Annotated[str | None, typer.Option(help="Whose agent it is, for the organisation's budget.")] = None,
    expires: Annotated[str, typer.Option(help="How long the token is good for: 90d, 12h, 30m.")] = "30d",
    file: _File = None,
    config: _Config = None,
) -> None:
    """Make an agent and print its token: alone on the standard output, this once."""
    path = _path(file, config)
    lifetime = _duration("--expires", expires)
    now = time.time()
    changed = _change(
        path,
        lambda agents: agents_changes.create(
            agents, name, scopes=scope, organization=organization, lifetime=lifetime, now=now
        ),
    )
    _hand_over(changed, path, f"{changed.agent.name} is agent {changed.agent.id} in {path}", lifetime)


@app.command("list")
def list_(file: _File = None, config: _Config = None) -> None:
    """Show the agents: what they may do, until when, and when they were last seen."""
    path = _path(file, config)
    try:
        agents = files.read(path)
    except FileNotFoundError:
        fail(f"there is no {path}: `doorward tokens create` makes it, --file names another one")
    except (OSError, ValueError) as error:
        fail(_words(path, error))
    seen = last_uses(last_use_file(path))
    now = time.time()
    print_table(
        f"Agents in {path}",
        ("id", "name", "scopes", "organization", "created", "expires", "last used", "state"),
        [_row(agent, seen.get(agent.id), now) for agent in agents],
    )


@app.command()
def rotate(
    which: _Which,
    overlap: Annotated[str, typer.Option(help="How long the token before goes on to count; 0s ends it now.")] = "24h",
    expires: Annotated[
        str | None, typer.Option(help="How long the new one is good for; by default like the one before.")
    ] = None,
    file: _File = None,
    config: _Config = None,
) -> None:
    """Give an agent a new token and print it: alone on the standard output, this once."""
    path = _path(file, config)
    seconds = _duration("--overlap", overlap)
    lifetime = None if expires is None else _duration("--expires", expires)
    now = time.time()
    changed = _change(
        path,
        lambda agents: agents_changes.rotate(agents, which, overlap=seconds, lifetime=lifetime, now=now),
        made=False,
    )
    new, *before = changed.agent.hashes
    ends = f"the one before ends at {written_instant(before[0].expires)}" if before else "those before ended"
    _hand_over(
        changed, path, f"a new token of {changed.agent.name} ({changed.agent.id}); {ends}", new.expires - new.created
    )


@app.command()
def revoke(
    which: _Which,
    redis_env: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The environment variable with the URL of the Redis that the servers share, to tell all of them; by "
            "default the one that doorward.toml names.",
        ),
    ] = None,
    file: _File = None,
    config: _Config = None,
) -> None:
    """End all tokens of an agent, within about a second."""
    path = _path(file, config)
    try:
        told = instances(config, variable=redis_env)
    except ValueError as error:
        fail(str(error))
    now = time.time()
    changed = _change(path, lambda agents: agents_changes.revoke(agents, which, now=now), made=False)
    agent = changed.agent
    _say(f"{agent.name} ({agent.id}) was revoked at {written_instant(agent.revoked or now)}")
    if told is None:
        return
    try:
        revoke_agent(told, agent.id)
    except ValueError as error:
        fail(f"only {path} says so. {error}. Servers with another file do not know yet: run this again")
    _say("All servers that share the Redis were told.")


app.command()(explain)


def _path(file: Path | None, config: Path | None) -> Path:
    if file is not None and config is not None:
        fail("--file and --config both name the file: give one of them")
    if file is not None:
        return file
    try:
        return agents_file(config)
    except ValueError as error:
        fail(str(error))


def _duration(option: str, text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        fail(f"{option} {error}")


def _change(path: Path, change: Callable[[Sequence[Agent]], Changed], *, made: bool = True) -> Changed:
    """Make a change to the file, and only to one that is there unless it may be ``made``."""
    if not made and not path.exists():
        fail(f"there is no {path}: `doorward tokens create` makes it, --file names another one")
    done: list[Changed] = []

    def changed(agents: tuple[Agent, ...]) -> tuple[Agent, ...]:
        try:
            done.append(change(agents))
        except ValueError as error:  # about what was asked for, not about the file
            fail(str(error))
        return done[0].agents

    try:
        files.change(path, changed)
    except (OSError, ValueError) as error:
        fail(_words(path, error))
    return done[0]


def _hand_over(changed: Changed, path: Path, said: str, lifetime: float) -> None:
    """Print the token. It stands nowhere else: when it did not arrive, another one has to be made."""
    try:
        sys.stdout.write(f"{changed.token}\n")
        sys.stdout.flush()
    except OSError:
        again = f"doorward tokens rotate {changed.agent.id} --overlap 0s --file {path}"
        fail(f"the token could not be printed and is lost; for another one: {again}")
    _say(said)
    _say(f"It is good until {written_instant(changed.agent.hashes[0].expires)}, and shown only this once.")
    if lifetime > _FAR:
        again = f"doorward tokens rotate {changed.agent.id}"
        _say(f"warning: that is {written_duration(lifetime)} away. Whoever finds it has it for as long: {again}")


def _row(agent: Agent, seen: float | None, now: float) -> tuple[str, ...]:
    return (
        agent.id,
        agent.name,
        " ".join(agent.scopes),
        agent.organization or "-",
        written_instant(agent.created),
        written_instant(agent.hashes[0].expires),
        "-" if seen is None else written_instant(seen),
        _state(agent, now),
    )


def _state(agent: Agent, now: float) -> str:
    newest, *before = agent.hashes
    left = newest.expires - now
    if agent.revoked is not None:
        return f"revoked {written_instant(agent.revoked)}"
    if left <= 0:
        return "expired"
    notes = [f"expires in {written_duration(left)}"] if left <= _NEAR else []
    notes += [
        f"the token before ends in {written_duration(each.expires - now)}" for each in before if each.expires > now
    ]
    return ", ".join(notes) or "active"


def _words(path: Path, error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return f"{path}: {error.strerror or type(error).__name__}: check the path, and that this user may write there"
    if isinstance(error, Wrong):
        return f"{path}:{error.line}: {error}" if error.line else f"{path}: {error}"
    return f"{path} {error}"


def _say(line: str) -> None:
    print(line, file=sys.stderr)
