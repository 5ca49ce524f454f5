"""Seeds: every random stream is named, and its seed is a hash of the name."""

from __future__ import annotations

import hashlib


def seed_for(*parts: str | int) -> int:
    """A 63-bit seed that depends on ``parts`` alone, the same in every process and on every machine.

    ``seed_for(run_seed, task, training_seed, "dropout", step)`` names one stream. Strings and integers that print
    alike are different parts.
    """
    digest = hashlib.blake2b("\x1f".join(repr(part) for part in parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
