"""Reading a trail: whether it still is what was written, and what it says."""
