"""The list of one's devices.

Spec: client-server API, #device-management.
"""

from typing import Any, Final

from hs_common.http.endpoint import Auth, endpoint, r0
from hs_common.http.reply import Reply, Response
from hs_common.http.request import Request
from hs_common.matrix.errors import bad_json, invalid_param, missing_param, not_found
from hs_common.matrix.identifiers import is_device_id
from hs_common.replication.calls import CloseSessions, MakeDevice, RenameDevice
from hs_common.replication.link_interface import Link
from hs_common.storage.devices import Device, device, devices_of
from hs_common.storage.queries import Queries
from hs_workers.client.accounts.json_fields import optional_string
from hs_workers.client.accounts.tokens import DISPLAY_NAME_LIMIT
from hs_workers.client.uia import Guarded, Proof, UserInteractiveAuthentication

DELETIONS_LIMIT: Final = 1_000
"""Devices deleted by one request; nobody has as many by hand."""


class DeviceManagement:
    """Deleting takes the password, except for application services."""

    def __init__(self, db: Queries, master: Link, uia: UserInteractiveAuthentication) -> None:
        self._db = db
        self._master = master
        self._uia = uia

    @endpoint(
        "GET",
        "/_matrix/client/v3/devices",
        auth=Auth.USER_OR_GUEST,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3devices",
    )
    async def list_all(self, request: Request) -> Reply:
        """All devices of the requester."""
        return {"devices": [_json(one) for one in await devices_of(self._db, request.requester.user_id)]}

    @endpoint(
        "GET",
        "/_matrix/client/v3/devices/{deviceId}",
        auth=Auth.USER_OR_GUEST,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3devicesdeviceid",
    )
    async def get(self, request: Request) -> Reply:
        """One device."""
        found = await device(self._db, request.requester.user_id, request.path["deviceId"])
        if found is None:
            raise not_found("You have no such device")
        return _json(found)

    @endpoint(
        "PUT",
        "/_matrix/client/v3/devices/{deviceId}",
        auth=Auth.USER_OR_GUEST,
        aliases=(r0,),
        spec="client-server-api/#put_matrixclientv3devicesdeviceid",
    )
    async def update(self, request: Request) -> Reply:
        """Renames a device. Without a name nothing is changed, but the device must be there all the same."""
        user_id, device_id = request.requester.user_id, request.path["deviceId"]
        display_name = optional_string(request.json(), "display_name")
        if display_name is not None and (len(display_name) > DISPLAY_NAME_LIMIT or "\0" in display_name):
            raise invalid_param(f"A display name has at most {DISPLAY_NAME_LIMIT} characters, none of them U+0000")
        if await device(self._db, user_id, device_id) is None:
            if request.requester.app_service_id is None:
                raise not_found("You have no such device")
            return await self._make(user_id, device_id, display_name)
        if display_name is not None:
            await self._master.call(RenameDevice(user_id=user_id, device_id=device_id, display_name=display_name))
        return {}

    async def _make(self, user_id: str, device_id: str, display_name: str | None) -> Reply:
        """Application services make devices of their users without logging in.

        https://spec.matrix.org/v1.19/application-service-api/#device-management
        """
        if not is_device_id(device_id):
            raise invalid_param("A device id has 1 to 255 bytes")
        await self._master.call(MakeDevice(user_id=user_id, device_id=device_id, display_name=display_name))
        return Response(201, {})

    @endpoint(
        "DELETE",
        "/_matrix/client/v3/devices/{deviceId}",
        auth=Auth.USER,
        aliases=(r0,),
        suspended_ok=True,
        spec="client-server-api/#delete_matrixclientv3devicesdeviceid",
    )
    async def delete(self, request: Request) -> Reply:
        """Deletes one device and its session; one that is not there counts as deleted."""
        device_id = request.path["deviceId"]
        return await self._delete(request, f"DELETE /devices/{device_id}", request.json(optional=True), [device_id])

    @endpoint(
        "POST",
        "/_matrix/client/v3/delete_devices",
        auth=Auth.USER,
        aliases=(r0,),
        suspended_ok=True,
        spec="client-server-api/#post_matrixclientv3delete_devices",
    )
    async def delete_some(self, request: Request) -> Reply:
        """Deletes several devices and their sessions."""
        body = request.json()
        return await self._delete(request, "POST /delete_devices", body, _device_ids(body))

    async def _delete(self, request: Request, name: str, body: dict[str, Any], device_ids: list[str]) -> Reply:
        requester = request.requester

        async def perform(proof: Proof | None) -> Reply:
            await self._master.call(CloseSessions(user_id=requester.user_id, device_ids=device_ids))
            return {}

        if requester.app_service_id is not None:
            return await perform(None)
        return await self._uia.run(Guarded.of(requester, name, body), perform)


def _device_ids(body: dict[str, Any]) -> list[str]:
    device_ids = body.get("devices")
    if device_ids is None:
        raise missing_param("`devices` is missing")
    if not isinstance(device_ids, list) or not all(isinstance(one, str) for one in device_ids):
        raise bad_json("`devices` must be an array of strings")
    if len(device_ids) > DELETIONS_LIMIT or any("\0" in one for one in device_ids):
        raise invalid_param(f"`devices` has at most {DELETIONS_LIMIT} device ids, none with U+0000")
    return device_ids


def _json(one: Device) -> dict[str, Any]:
    fields = {
        "device_id": one.device_id,
        # The specification wants no key for a device without a name, but matrix-nio refuses the whole list then.
        "display_name": one.display_name or "",
        "last_seen_ip": one.last_seen_ip,
        "last_seen_ts": one.last_seen_ts,
    }
    return {name: value for name, value in fields.items() if value is not None}
