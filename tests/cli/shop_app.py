"""The shop behind a gate, as the README has it: the file is there when the server starts, and not yet when it is to be
written."""

from __future__ import annotations

from shop import shop  # type: ignore[import-not-found] # lies beside it where it is run

import doorward

gate = doorward.Gate.from_file("doorward.toml")
app = gate.protect(shop)
