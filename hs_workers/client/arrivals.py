"""A device is seen for the first time when it logs in, so that the list of devices never has one without a sight."""

from collections.abc import Callable
from typing import Any

from hs_common.http.last_seen import USER_AGENT_LIMIT
from hs_common.http.request import Request
from hs_common.storage.devices import Seen, note_seen
from hs_common.storage.queries import Queries


class Arrivals:
    """`now_ms` is the time of day."""

    def __init__(self, db: Queries, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._now_ms = now_ms

    async def note(self, request: Request, answer: dict[str, Any]) -> dict[str, Any]:
        """The answer to a login or registration as it is; its device, if it has one, was seen now."""
        if "device_id" in answer:
            user_agent = request.user_agent[:USER_AGENT_LIMIT].replace("\0", "")
            seen = Seen(answer["user_id"], answer["device_id"], request.client_ip, user_agent, self._now_ms())
            await note_seen(self._db, [seen])
        return answer
