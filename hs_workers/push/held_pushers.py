"""The pushers of the users whose shards this process holds, in memory, as the database has them."""

from collections.abc import Collection, Iterable

from hs_common.process.shares import shard_of
from hs_common.storage.pushers import Pusher


class HeldPushers:
    """User → pushers."""

    def __init__(self) -> None:
        self._by_user: dict[str, tuple[Pusher, ...]] = {}
        self._by_id: dict[int, Pusher] = {}

    def __contains__(self, user_id: str) -> bool:
        return user_id in self._by_user

    def __len__(self) -> int:
        return len(self._by_id)

    def of(self, user_id: str) -> tuple[Pusher, ...]:
        """The user's pushers; none for a user whose shard is another's."""
        return self._by_user.get(user_id, ())

    def get(self, pusher_id: int) -> Pusher | None:
        return self._by_id.get(pusher_id)

    def users(self, shards: Collection[int]) -> list[str]:
        """The users of these shards."""
        return [user_id for user_id in self._by_user if shard_of(user_id) in shards]

    def having(self, app_id: str, pushkey: str) -> list[str]:
        """The users who have a pusher of this app and key."""
        return [one.user_id for one in self._by_id.values() if (one.app_id, one.pushkey) == (app_id, pushkey)]

    def put(self, pushers: Iterable[Pusher]) -> None:
        """The users of these pushers have these and no others."""
        by_user: dict[str, list[Pusher]] = {}
        for pusher in pushers:
            by_user.setdefault(pusher.user_id, []).append(pusher)
        for user_id, his in by_user.items():
            self.replace(user_id, his)

    def replace(self, user_id: str, pushers: Iterable[Pusher]) -> set[int]:
        """What the user has now. Answers the ids of those that he has no more."""
        before = {one.pusher_id for one in self._by_user.pop(user_id, ())}
        now = tuple(pushers)
        for pusher_id in before:
            del self._by_id[pusher_id]
        if now:
            self._by_user[user_id] = now
        self._by_id.update({one.pusher_id: one for one in now})
        return before - {one.pusher_id for one in now}

    def drop(self, shards: Collection[int]) -> None:
        """These shards are another's."""
        for user_id in self.users(shards):
            self.replace(user_id, ())
