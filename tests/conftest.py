"""Every test below tests/core runs over both implementations of the core."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from types import ModuleType

import pytest


@pytest.fixture(params=["rust", "python"], scope="session")
def core(request: pytest.FixtureRequest) -> ModuleType:
    """One implementation of the contract in ``_rust.pyi``."""
    if request.param == "rust" and find_spec("toolgate._rust") is None:
        pytest.skip("the native core is not built: run `maturin develop --release`")
    return importlib.import_module("toolgate._rust" if request.param == "rust" else "toolgate._pure")
