"""The pytest plugin: installed with doorward, it gives every test suite the fixture ``doorward_issuer``."""

from __future__ import annotations

import pytest

from doorward.testing.issuer import Issuer

__all__ = ["doorward_issuer"]


@pytest.fixture
def doorward_issuer() -> Issuer:
    """An issuer with a key nobody else has, new for each test."""
    return Issuer("https://issuer.test")
