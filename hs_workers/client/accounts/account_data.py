"""Reading and changing account data, with edits that never overwrite what another device changed meanwhile.

Spec: client-server API, #client-config.
"""

from collections.abc import Callable
from typing import Any, Final

import orjson

from hs_common.matrix.errors import MatrixError, invalid_param, limit_exceeded, too_large
from hs_common.matrix.identifiers import check_room_id, is_short
from hs_common.replication.calls import SetAccountData
from hs_common.replication.link_interface import Link
from hs_common.storage.account_data import account_data
from hs_common.storage.queries import Queries

GLOBAL: Final = ""
CONTENT_LIMIT_BYTES: Final = 512 * 1024
"""Each content is sent to all of a user's devices at each change. Bridges keep their whole configuration in one."""
EDIT_ATTEMPTS_LIMIT: Final = 10
"""Two devices that edit at the same time meet once or twice; more than this is a client gone wild."""

RETRY_AFTER_MS: Final = 1_000

Content = dict[str, Any]


class UserAccountData:
    """The account data of this server's users. `room_id` is '' for global data."""

    def __init__(self, db: Queries, master: Link) -> None:
        self._db = db
        self._master = master

    async def content(self, user_id: str, room_id: str, data_type: str) -> Content | None:
        """What was set, or None."""
        _check_key(room_id, data_type)
        stored = await account_data(self._db, user_id, room_id, data_type)
        return None if stored is None else orjson.loads(stored[0])

    async def set(self, user_id: str, room_id: str, data_type: str, content: Content) -> None:
        """Replaces the content. 400 `M_INVALID_PARAM`, 413 `M_TOO_LARGE`."""
        _check_key(room_id, data_type)
        call = SetAccountData(user_id=user_id, room_id=room_id, type=data_type, content=_encoded(content))
        await self._master.call(call)

    async def edit(
        self, user_id: str, room_id: str, data_type: str, change: Callable[[Content | None], Content | None]
    ) -> None:
        """Replaces the content by what `change` makes of the present one; None leaves it. Done again while others
        change it at the same time."""
        _check_key(room_id, data_type)
        for _ in range(EDIT_ATTEMPTS_LIMIT):
            stored = await account_data(self._db, user_id, room_id, data_type)
            content, pos = (None, 0) if stored is None else (orjson.loads(stored[0]), stored[1])
            changed = change(content)
            if changed is None or changed == content:
                return
            call = SetAccountData(
                user_id=user_id, room_id=room_id, type=data_type, content=_encoded(changed), expected_pos=pos
            )
            if await self._was_set(call):
                return
        raise limit_exceeded(RETRY_AFTER_MS)

    async def _was_set(self, call: SetAccountData) -> bool:
        try:
            await self._master.call(call)
        except MatrixError as error:
            if error.errcode != "M_CONFLICT":
                raise
            return False
        return True


def _check_key(room_id: str, data_type: str) -> None:
    if room_id != GLOBAL:
        check_room_id(room_id)
    if not data_type or not is_short(data_type):
        raise invalid_param("The type of account data has 1 to 255 bytes")


def _encoded(content: Content) -> bytes:
    encoded = orjson.dumps(content)
    if len(encoded) > CONTENT_LIMIT_BYTES:
        raise too_large(f"Account data has at most {CONTENT_LIMIT_BYTES} bytes")
    return encoded
