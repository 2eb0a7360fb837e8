"""Randomness derived from what it is for, so that no result depends on scheduling or on a restart."""

import hashlib


def derive_seed(seed: int, *keys: int | str) -> int:
    """A 63-bit seed that is a pure function of the run's seed and of what it is used for.

    >>> derive_seed(42, "rollout", 3, 17, 0) == derive_seed(42, "rollout", 3, 17, 0)
    True
    """
    text = "\x1f".join(str(part) for part in (seed, *keys))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
