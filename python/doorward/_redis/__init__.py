"""Redis: one connection a process and loop, owned by one task.

Nothing here is imported before a store is made, and a store connects when it is first asked.
"""

from doorward._redis.address import parse_url
from doorward._redis.command import Command, Script
from doorward._redis.deadline import Patience, wait
from doorward._redis.errors import NotAnAnswer, StoreAway, StoreError, StoreRefused, StoreSlow
from doorward._redis.request import Request
from doorward._redis.store import Store

__all__ = [
    "Command",
    "NotAnAnswer",
    "Patience",
    "Request",
    "Script",
    "Store",
    "StoreAway",
    "StoreError",
    "StoreRefused",
    "StoreSlow",
    "parse_url",
    "wait",
]
