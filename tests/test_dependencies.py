"""Lower bounds of dependencies that exist because of a published advisory: none may be lowered by accident."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REQUIREMENTS = [
    Requirement(text)
    for texts in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for text in texts
    if not text.startswith(PROJECT["name"])
]

FIXED = [
    pytest.param("opentelemetry-api", "1.45.2", id="opentelemetry-api: denial of service in parsing traceparent"),
    pytest.param("pyjwt", "2.12", id="PyJWT: unknown critical header parameters were accepted"),
    pytest.param("cryptography", "46.0.5", id="cryptography: points of small order on binary curves"),
]


@pytest.mark.parametrize(("name", "fixed"), FIXED)
def test_every_allowed_release_has_the_fix(name: str, fixed: str) -> None:
    bounds = [each.specifier for each in REQUIREMENTS if each.name == name and each.specifier]
    assert bounds
    for specifier in bounds:
        lowest = [Version(each.version) for each in specifier if each.operator == ">="]
        assert lowest
        assert min(lowest) >= Version(fixed)


def test_the_oldest_python_is_said_alike_everywhere() -> None:
    oldest = PROJECT["requires-python"].removeprefix(">=")
    versions = [text.rpartition(" ")[2] for text in PROJECT["classifiers"] if " :: Python :: 3." in text]
    assert versions[0] == oldest
    cargo = tomllib.loads((Path(__file__).parents[1] / "Cargo.toml").read_text(encoding="utf-8"))
    assert f"abi3-py{oldest.replace('.', '')}" in cargo["dependencies"]["pyo3"]["features"]
