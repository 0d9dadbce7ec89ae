"""Reads that many ask for at once, by key: those who ask while a statement is under way share the next one.

Rules: an answer is never older than the question: nobody joins a statement that was sent before. With nobody else there
it costs what it costs alone; under load a statement serves all who wait. A failure is everybody's who shared it.
Must not know what is read.
"""

from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping
from typing import Final, Generic, TypeVar

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.python.failure import Failure

KEYS_LIMIT: Final = 128
"""Of one statement: enough for a full queue of a bridge's requests, little enough that nobody waits long for others."""

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class SharedReads(Generic[_Key, _Value]):
    """`fetch` answers what there is for keys; what it leaves out does not exist."""

    def __init__(self, fetch: Callable[[list[_Key]], Awaitable[Mapping[_Key, _Value]]]) -> None:
        self._fetch = fetch
        self._gathering: dict[_Key, list[Deferred[_Value | None]]] = {}
        self._reading = False

    async def read(self, key: _Key) -> _Value | None:
        """What there is for the key, as of after this call. Raises what `fetch` raises."""
        waiting = self._gather(key)
        self._begin()
        return await waiting

    async def read_many(self, keys: Collection[_Key]) -> dict[_Key, _Value]:
        """The same of several keys, in one statement as a rule; without those for which there is nothing."""
        waiting = [self._gather(key) for key in keys]
        self._begin()
        try:
            values = await gatherResults(waiting, consumeErrors=True)
        except FirstError as error:
            error.subFailure.raiseException()
        return {key: value for key, value in zip(keys, values, strict=True) if value is not None}

    def _gather(self, key: _Key) -> "Deferred[_Value | None]":
        waiting: Deferred[_Value | None] = Deferred()
        self._gathering.setdefault(key, []).append(waiting)
        return waiting

    def _begin(self) -> None:
        if not self._reading:
            Deferred.fromCoroutine(self._read_all())

    async def _read_all(self) -> None:
        """For all who have gathered, until nobody has."""
        self._reading = True
        try:
            while self._gathering:
                keys = list(self._gathering)[:KEYS_LIMIT]
                waiting = {key: self._gathering.pop(key) for key in keys}
                await self._read_for(waiting)
        finally:
            self._reading = False

    async def _read_for(self, waiting: dict[_Key, list[Deferred[_Value | None]]]) -> None:
        found: Mapping[_Key, _Value] | Failure
        try:
            found = await self._fetch(list(waiting))
        except Exception:
            found = Failure()
        for key, deferreds in waiting.items():
            for deferred in deferreds:
                if not deferred.called:  # else whoever asked has gone
                    deferred.callback(found if isinstance(found, Failure) else found.get(key))
