"""Buckets by hashed name. The twin of ``rust/table.rs``."""

from toolgate._pure.table.chunks import Chunks
from toolgate._pure.table.index import Index
from toolgate._pure.table.table import Table

__all__ = ["Chunks", "Index", "Table"]
