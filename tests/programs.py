"""The programs that tests need beside Python and Rust.

They are installed where Debian's package manager may do so without asking. Else their tests are skipped with what to do
about it, and where `CI` is set they fail.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

import pytest

INSTALL_SECONDS: Final = 240
"""For each step of the package manager; ten are usual."""


class Program(NamedTuple):
    """Where a program comes from: its Debian package, the name it has in there, and where anyone else gets it."""

    package: str
    name: str
    elsewhere: str
    is_service: bool = False
    """Whether the package starts a service on a machine with systemd: there it is installed in CI alone."""


PROGRAMS: Final = {
    "npm": Program("npm", "npm", "https://nodejs.org"),
    "nginx": Program("nginx", "nginx", "https://nginx.org (/usr/sbin in PATH)", is_service=True),
    "haproxy": Program("haproxy", "haproxy", "https://www.haproxy.org (/usr/sbin in PATH)", is_service=True),
    "caddy": Program("caddy", "caddy", "https://caddyserver.com", is_service=True),
    # Not the package redis-server, which starts a service. The tools' checker is the same file, and tells by its
    # first argument what it is to be.
    "redis-server": Program("redis-tools", "redis-check-rdb", "https://redis.io, or DOORWARD_REDIS_SERVER=path"),
}


@cache
def program(name: str) -> str:
    """The path of the program, installed if need be. Skips the test where that cannot be; fails it in CI."""
    wanted = PROGRAMS[name]
    found = _find(name)
    if found is None and (complaint := _install(wanted)):
        impossible(f"{name} is missing: apt-get install {wanted.package}, or {wanted.elsewhere} ({complaint})")
    found = found or _find(name)
    if found is None:
        impossible(f"{name} is missing, and the package {wanted.package} did not bring it: {wanted.elsewhere}")
    return found


def impossible(reason: str) -> NoReturn:
    """What a test needs is not to be had."""
    if "CI" in os.environ:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _find(name: str) -> str | None:
    return shutil.which(name) or shutil.which(PROGRAMS[name].name)


@cache
def _install(wanted: Program) -> str:
    """What the package manager complained about; nothing when all went well."""
    if shutil.which("apt-get") is None:
        return "there is no apt-get here"
    if wanted.is_service and Path("/run/systemd/system").is_dir() and "CI" not in os.environ:
        return "its package would start a service here"
    as_root = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    if as_root and shutil.which("sudo") is None:
        return "only root may install it"
    # The tests of both cores run at once, and apt-get waits for nobody.
    with (Path(tempfile.gettempdir()) / "doorward-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        install = ["install", "--yes", "--quiet", "--no-install-recommends", wanted.package]
        return _run(as_root, ["update", "--quiet"]) or _run(as_root, install)


def _run(as_root: list[str], step: list[str]) -> str:
    try:
        done = subprocess.run(
            [*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *step],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"apt-get {step[0]} took longer than {INSTALL_SECONDS} s"
    if done.returncode:
        return f"apt-get {step[0]} ended with {done.returncode}: {done.stderr[-500:].strip()}"
    return ""
