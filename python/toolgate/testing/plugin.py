"""The pytest plugin: installed with toolgate, it gives every test suite the fixture ``toolgate_issuer``."""

from __future__ import annotations

import pytest

from toolgate.testing.issuer import Issuer

__all__ = ["toolgate_issuer"]


@pytest.fixture
def toolgate_issuer() -> Issuer:
    """An issuer with a key nobody else has, new for each test."""
    return Issuer("https://issuer.test")
