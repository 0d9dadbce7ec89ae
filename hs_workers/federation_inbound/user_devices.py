"""All devices of a user of this server, for servers that follow its device list.

Spec: server-server API, #device-management.
"""

from typing import Any

import orjson

from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param, not_found
from hs_common.matrix.identifiers import domain_of, is_user_id
from hs_common.matrix.public_keys import MASTER, SELF_SIGNING
from hs_common.reading.public_keys import read_user_keys
from hs_common.storage import device_lists
from hs_common.storage.queries import Queries


class UserDevices:
    """Devices without keys are nobody else's business and are left out."""

    def __init__(self, db: Queries, server_name: str) -> None:
        self._db = db
        self._server_name = server_name

    @endpoint(
        "GET",
        "/_matrix/federation/v1/user/devices/{userId}",
        auth=Auth.SERVER,
        spec="server-server-api/#get_matrixfederationv1userdevicesuserid",
    )
    async def devices(self, request: Request) -> Reply:
        """The devices, and the version of the list: the position of its last change."""
        user_id = request.path["userId"]
        if not is_user_id(user_id) or domain_of(user_id) != self._server_name:
            raise invalid_param("userId must be a user of this server")
        # The version first: whatever changes meanwhile is told with a later one.
        version = await device_lists.last_change(self._db, user_id)
        keys = (await read_user_keys(self._db, [user_id])).get(user_id)
        if keys is None:
            raise not_found("There is no such user")
        answer: dict[str, Any] = {
            "user_id": user_id,
            "stream_id": version,
            "devices": [_device(device_id, json) for device_id, json in keys.devices.items()],
        }
        for usage in (MASTER, SELF_SIGNING):
            if usage in keys.cross:
                answer[f"{usage}_key"] = orjson.Fragment(keys.cross[usage][1])
        return answer


def _device(device_id: str, encoded: str) -> dict[str, Any]:
    keys: dict[str, Any] = orjson.loads(encoded)
    name = keys.pop("unsigned", {}).get("device_display_name")
    named = {} if name is None else {"device_display_name": name}
    return {"device_id": device_id, "keys": keys, **named}
