"""Lower bounds of dependencies that exist because of a published advisory: none may be lowered by accident."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from doorward.extras import install

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


WITHOUT_CRYPTOGRAPHY = {
    "the pure core, keys that are fetched": ("python", 'doorward.Issuer("https://as.example.com", ["ES256"])', True),
    "the pure core, keys that are given": (
        "python",
        (
            'doorward.KeySet.from_json(b\'{"keys":[{"kty":"OKP","crv":"Ed25519",'
            '"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}\')'
        ),
        True,
    ),
    "the pure core, agents alone": ("python", 'doorward.Agents("agents.toml")', False),
    "the native core": ("rust", 'doorward.Issuer("https://as.example.com", ["ES256"])', False),
    "signed checkpoints": (
        "rust",
        'from doorward.audit.checkpoints import load_private_key; load_private_key(b"")',
        True,
    ),
}


@pytest.mark.parametrize(("core", "code", "is_needed"), WITHOUT_CRYPTOGRAPHY.values(), ids=WITHOUT_CRYPTOGRAPHY)
def test_a_missing_cryptography_is_an_error_at_start_that_names_the_extra(
    core: str, code: str, is_needed: bool
) -> None:
    if core == "rust" and find_spec("doorward._rust") is None:
        pytest.skip("the native core is not built: run `make build`")
    program = f"import sys; sys.modules['cryptography'] = None; import doorward; {code}"
    environment = os.environ | {"DOORWARD_CORE": core}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode != 0) is is_needed, done.stderr
    if is_needed:
        last = done.stderr.splitlines()[-1]
        assert last.startswith("ModuleNotFoundError: cryptography cannot be imported, and ")
        assert last.endswith(install("pure"))
