"""Optional dependencies: how an error names the extra that is missing."""

from __future__ import annotations

from typing import Final

__all__ = ["SOURCE", "ensure_cryptography", "install"]

SOURCE: Final = "."
"""What pip installs doorward from: a checkout. The name is not ours on any package index yet, so nothing may say to
install it from one."""


def install(*extras: str) -> str:
    """The end of an error about a missing dependency: ``extras`` are the ones that bring it."""
    names = ",".join(extras)
    what = f"extra {names}" if len(extras) == 1 else f"extras {names}"
    return f"install doorward's {what} (in a checkout: pip install '{SOURCE}[{names}]')"


def ensure_cryptography(what: str) -> None:
    """Raises `ImportError` that names the extra, where `cryptography` is missing or broken. ``what``: who needs it, and
    for what."""
    try:
        # Its compiled part, without which the package can be imported but nothing can be computed.
        import cryptography.hazmat.bindings._rust  # noqa: F401
    except ImportError as error:
        raise type(error)(
            f"cryptography cannot be imported, and {what}: {install('pure')}", name="cryptography"
        ) from None
