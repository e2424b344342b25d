"""Redis: one connection a process and loop, owned by one task.

Nothing here is imported before a store is made, and a store connects when it is first asked.
"""

from toolgate._redis.address import parse_url
from toolgate._redis.command import Command, Script
from toolgate._redis.deadline import Patience, wait
from toolgate._redis.errors import StoreAway, StoreError, StoreRefused, StoreSlow
from toolgate._redis.request import Request
from toolgate._redis.store import Store

__all__ = [
    "Command",
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
