"""Password hashes: Argon2id with the configured cost, made and checked in threads.

Rules: a check takes as long for an account that does not exist as for one that does. A hash names its own parameters:
old ones stay good, and are replaced when their owner next logs in. Must not know accounts.
"""

from collections.abc import Callable
from typing import Final

from argon2 import PasswordHasher as Argon2
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from hs_common.process.worker_threads import Threads

SALT_BYTES: Final = 16
LANES: Final = 1
"""Threads within one hash: the pool is what uses several cores."""


class PasswordHasher:
    """`random(n)` gives n unpredictable bytes; `memory_kib` and `time_cost` are the cost of one guess."""

    def __init__(self, time_cost: int, memory_kib: int, threads: Threads, random: Callable[[int], bytes]) -> None:
        self._argon2 = Argon2(time_cost=time_cost, memory_cost=memory_kib, parallelism=LANES, type=Type.ID)
        self._threads = threads
        self._random = random

    async def hash(self, password: str) -> str:
        """The hash to keep, with salt and parameters in it."""
        salt = self._random(SALT_BYTES)
        return await self._threads.run(lambda: self._argon2.hash(password, salt=salt))

    async def matches(self, password: str, kept: str | None) -> bool:
        """Whether the password is the one that was hashed. None (no such account, or no password) costs the same."""
        if kept is None:
            await self.hash(password)
            return False
        return await self._threads.run(lambda: self._verify(password, kept))

    def is_outdated(self, kept: str) -> bool:
        """Whether a hash was made with other parameters than the present ones."""
        return self._argon2.check_needs_rehash(kept)

    def _verify(self, password: str, kept: str) -> bool:
        try:
            return self._argon2.verify(kept, password)
        except (VerificationError, InvalidHashError):
            return False
