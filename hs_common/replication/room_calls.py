"""The calls by which operators end rooms."""

from typing import ClassVar

from hs_common.replication.call import Answer, Call


class DeleteRoom(Call, frozen=True, kw_only=True):
    """Put this server's users out of a room, take its aliases and its place in the directory, and then, if `purge`,
    remove all that is stored of it. Goes on in the background, under `delete_id`. Errors: M_NOT_FOUND.
    """

    answer: ClassVar[type[Answer]] = Answer
    room_id: str
    delete_id: str
    purge: bool
    reason: str | None
    aliases: list[str]
    told: bytes  # JSON, for who asks how far it is


ROOM_CALLS: tuple[type[Call], ...] = (DeleteRoom,)
