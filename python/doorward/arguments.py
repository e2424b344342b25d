"""The fingerprint of a call's arguments: SHA-256 over their canonical form, RFC 8785 (JSON Canonicalization Scheme).

RFC 8785 reads every number as a double. From 2**53 on several integers round to one double, and arguments of different
values would share one fingerprint, so there the form differs in two ways:

- An integer written without fraction and exponent keeps its exact digits.
- A number written with a fraction or an exponent is a double, and always has an exponent: ``1e+18``, where RFC 8785
  writes ``1000000000000000000``. No double has the fingerprint of an integer, not even of one with the same value.

As in RFC 8785, texts that read as the same double share a fingerprint: ``1``, ``1.0`` and ``1e0``; ``0`` and
``-0.0``; ``0.1`` and ``0.1000000000000000055``. A number that no double holds (``1e400``) is refused.

A bare hash of a value with few possibilities (a PIN, a date of birth) falls to a dictionary: give a key where
arguments are worth guessing.
"""

from doorward._core import hash_arguments

__all__ = ["hash_arguments"]
