"""Takes credentials out of text."""

from __future__ import annotations

from doorward._pure.scrubber.scrubber import MAX_TEXT, Scrubber

__all__ = ["MAX_TEXT", "Scrubber"]
