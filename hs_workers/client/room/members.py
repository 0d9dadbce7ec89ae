"""The members of a room, a page at a time: a list of 100,000 takes no more memory than one of some hundred.

All pages are read at one position, so that they fit together whatever happens meanwhile.

Spec: client-server API, #get_matrixclientv3roomsroomidmembers, #get_matrixclientv3roomsroomidjoined_members.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from hs_common.http.json_pages import paged_json
from hs_common.http.reply import Reply
from hs_common.http.request import Requester
from hs_common.matrix.errors import invalid_param
from hs_common.matrix.tokens import RoomToken
from hs_common.reading.client_events import ClientEvents
from hs_common.reading.room_view import not_a_member
from hs_common.storage import room_members, room_state
from hs_common.storage.queries import Queries, Row
from hs_workers.client.room.reading import Reading

MEMBERSHIPS: Final = ("join", "invite", "knock", "leave", "ban")
PAGE: Final = 250
"""Members a page: some 200 KiB mostly, so that a page is about what a socket takes at once."""


class RoomGone(Exception):
    """The room was deleted while its members were listed: what was sent is not all of them."""


class Members:
    """Lists members."""

    def __init__(self, db: Queries, reading: Reading, events: ClientEvents) -> None:
        self._db = db
        self._reading = reading
        self._events = events

    async def events(
        self, room_id: str, requester: Requester, at: RoomToken | None, wanted: str | None, unwanted: str | None
    ) -> Reply:
        """Member events at a place in the timeline. With `wanted` and `unwanted`, either makes a member pass.

        400 `M_INVALID_PARAM`, 403 `M_FORBIDDEN`.
        """
        for membership in (wanted, unwanted):
            if membership is not None and membership not in MEMBERSHIPS:
                raise invalid_param(f"{membership[:64]!r} is not a membership")
        view, latest = await self._reading.state_position(room_id, requester)
        position = latest if at is None else min(at.order_pos, latest)
        pages = _Pages(
            self._db, room_id, position, wanted, unwanted, lambda rows: self._events.state(view.version, rows)
        )
        return await paged_json(b'{"chunk":[', pages.next, b"]}")

    async def joined(self, room_id: str, requester: Requester) -> Reply:
        """Name and avatar of who is in the room. 403 `M_FORBIDDEN` unless the requester is."""
        if await room_members.membership(self._db, requester.user_id, room_id) != "join":
            raise not_a_member()
        _, now = await self._reading.state_position(room_id, requester)
        pages = _Pages(self._db, room_id, now, "join", None, lambda rows: [_shown(row) for row in rows])
        return await paged_json(b'{"joined":{', pages.next, b"}}")


class _Pages:
    """The members at a position, each page read when it is asked for."""

    def __init__(
        self,
        db: Queries,
        room_id: str,
        position: int,
        wanted: str | None,
        unwanted: str | None,
        encoded: Callable[[Sequence[Row]], list[bytes]],
    ) -> None:
        self._db = db
        self._room_id = room_id
        self._position = position
        self._wanted = wanted
        self._unwanted = unwanted
        self._encoded = encoded
        self._after = ""
        self._is_over = False

    async def next(self) -> list[bytes] | None:
        """The next page as JSON; None after the last."""
        if self._is_over:
            return None
        began = self._after == ""
        rows = await room_state.members_page(
            self._db, self._room_id, self._position, self._wanted, self._unwanted, after=self._after, limit=PAGE
        )
        if len(rows) < PAGE:
            self._is_over = True
            if not began and not await room_state.is_known(self._db, self._room_id):
                raise RoomGone(self._room_id)
        else:
            self._after = rows[-1][1]
        return self._encoded(rows)


def _shown(row: Row) -> bytes:
    content: dict[str, Any] = orjson.loads(row[3])["content"]
    named = {"display_name": content.get("displayname"), "avatar_url": content.get("avatar_url")}
    told = {key: value for key, value in named.items() if isinstance(value, str)}
    return orjson.dumps(row[1]) + b":" + orjson.dumps(told)
