"""Public keys of this server's users as they were last read, kept until the log says that they changed.

Rules: what is remembered is told only when this process has come to where the log was when it was asked; else all of it
is read. A user who is not known is always asked for. What changed while it was read is not kept.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from hs_common.reading.public_keys import Signatures, UserKeys, grouped, read_user_keys
from hs_common.replication import items
from hs_common.replication.entry import Entry, EntryItem
from hs_common.replication.subscription import Subscription
from hs_common.storage.device_keys import head_and_signatures
from hs_common.storage.queries import Queries

MAXIMUM_BYTES: Final = 32 << 20
"""Of one worker: some twenty thousand devices."""
NEAR_SECONDS: Final = 0.05
"""How long this process is waited for to be at the head, before everything is read."""
KINDS: Final = ("devices", "cross_signing", "private_keys", "user")


class Log(Protocol):
    """This process' place in the log."""

    @property
    def is_live(self) -> bool:
        """Whether the place is to be relied on."""

    async def wait_for(self, pos: int, timeout: float) -> bool:
        """Whether the position was reached in time."""


@dataclass(slots=True, eq=False)
class _Meanwhile:
    """What changed while keys were read: of these users, or perhaps of all."""

    changed: set[str] = field(default_factory=set)
    is_all: bool = False


class KnownKeys:
    """User → keys. `follower` is asked for once the process follows the log."""

    def __init__(self, db: Queries, follower: Callable[[], Log], maximum_bytes: int = MAXIMUM_BYTES) -> None:
        self._db = db
        self._follower = follower
        self._maximum_bytes = maximum_bytes
        self._bytes = 0
        self._known: OrderedDict[str, UserKeys] = OrderedDict()
        self._meanwhile: list[_Meanwhile] = []

    def subscription(self) -> Subscription:
        """For the follower."""
        return Subscription("public keys", KINDS, self._apply, lambda pos: self._forget())

    async def seen_by(self, reader_id: str, user_ids: Sequence[str]) -> tuple[dict[str, UserKeys], Signatures]:
        """The keys of those of the users who are known here, and the reader's signatures of them: not older than this
        call."""
        head, signatures = await head_and_signatures(self._db, reader_id)
        follower = self._follower()
        if not (follower.is_live and await follower.wait_for(head, NEAR_SECONDS)):
            return await read_user_keys(self._db, user_ids), grouped(signatures)
        found = {user_id: self._known[user_id] for user_id in user_ids if user_id in self._known}
        missing = [user_id for user_id in user_ids if user_id not in found]
        return {**found, **(await self._read(missing) if missing else {})}, grouped(signatures)

    async def _read(self, user_ids: Sequence[str]) -> dict[str, UserKeys]:
        meanwhile = _Meanwhile()
        self._meanwhile.append(meanwhile)
        try:
            found = await read_user_keys(self._db, user_ids)
        finally:
            self._meanwhile.remove(meanwhile)
        if not meanwhile.is_all:
            self._remember({user_id: keys for user_id, keys in found.items() if user_id not in meanwhile.changed})
        return found

    def _remember(self, found: dict[str, UserKeys]) -> None:
        self._drop(found)
        for user_id, keys in found.items():
            self._known[user_id] = keys
            self._bytes += keys.size
        while self._bytes > self._maximum_bytes:
            self._bytes -= self._known.popitem(last=False)[1].size

    def _apply(self, batch: Sequence[EntryItem], entry: Entry) -> None:
        for one in batch:
            item = items.decode(one.kind, one.body)
            if isinstance(item, items.PrivateKeysItem):
                self._drop(item.user_ids)
            elif isinstance(item, items.DevicesItem | items.CrossSigningItem | items.UserItem):
                self._drop([item.user_id])

    def _drop(self, user_ids: Iterable[str]) -> None:
        for user_id in user_ids:
            keys = self._known.pop(user_id, None)
            self._bytes -= 0 if keys is None else keys.size
            for meanwhile in self._meanwhile:
                meanwhile.changed.add(user_id)

    def _forget(self) -> None:
        self._known.clear()
        self._bytes = 0
        for meanwhile in self._meanwhile:
            meanwhile.is_all = True
