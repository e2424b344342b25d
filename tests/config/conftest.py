"""Every test of the configuration begins with a directory."""

from __future__ import annotations

from pathlib import Path

import pytest
from configured import Configured


@pytest.fixture
def configured(tmp_path: Path) -> Configured:
    """A directory with a key set and a secret."""
    return Configured(tmp_path)
