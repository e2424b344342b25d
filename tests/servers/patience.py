"""More time than the 50 ms that Redis has: for tests of what is decided, on machines that have other things to do.

Outages are tested with the deadline as it is, and under `make prove` so is what many processes share.
"""

from __future__ import annotations

from doorward._redis import Patience, store

PATIENT = Patience(connect=20.0, answer=20.0)


def be_patient() -> None:
    """For the rest of this process."""
    vars(store)["Patience"] = lambda: PATIENT
