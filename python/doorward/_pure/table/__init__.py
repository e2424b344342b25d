"""Buckets by hashed name. The twin of ``rust/table.rs``."""

from doorward._pure.table.chunks import Chunks
from doorward._pure.table.index import Index
from doorward._pure.table.table import Table

__all__ = ["Chunks", "Index", "Table"]
