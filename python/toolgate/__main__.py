"""``python -m toolgate``: the command line."""

from __future__ import annotations

from toolgate.cli import main

if __name__ == "__main__":
    main()
