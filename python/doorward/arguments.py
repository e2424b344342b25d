"""The fingerprint of a call's arguments, and what "canonical" means.

RFC 8785 (JSON Canonicalization Scheme), with one deviation: an integer literal beyond 2**53 keeps its exact digits.
RFC 8785 would round it to a double, and two different arguments would share one fingerprint.

A bare hash of a value with few possibilities (a PIN, a date of birth) falls to a dictionary: give a key where
arguments are worth guessing.
"""

from doorward._core import hash_arguments

__all__ = ["hash_arguments"]
