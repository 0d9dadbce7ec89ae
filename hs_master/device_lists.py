"""That a user's device list changed. /sync, application services and other servers each look for it by position.

Other servers are told of one device at a time, under a number of its own, which each update names as the one before it:
so each device of this server's users changes at a position of its own. Changed cross-signing keys have no such number.

Of each user the newest changes are kept. Those before them are folded into one of all devices, so whoever is that far
behind is told of all that there are.

Spec: server-server-api.md#device-management.
"""

from collections.abc import Sequence

import orjson

from hs_common.replication.items import CrossSigningItem, DevicesItem
from hs_master import encryption_tables, tables
from hs_master.step import Step
from hs_master.trimming import is_trimmed_at


def change_devices(step: Step, user_id: str, device_ids: Sequence[str], *, removed: bool = False) -> int:
    """Devices of a user of this server changed. Returns the item's position, which is that of the last of them."""
    first = step.next_pos()
    step.pos += len(device_ids) - 1
    pos = step.item(DevicesItem(user_id, list(device_ids), removed=removed))
    for at, device_id in zip(range(first, pos + 1), device_ids, strict=True):
        _write(step, at, user_id, [device_id])
    return pos


def change_cross_signing(step: Step, user_id: str) -> int:
    """Cross-signing keys that others may see changed. Returns the item's position."""
    pos = step.item(CrossSigningItem(user_id))
    _write(step, pos, user_id, [])
    return pos


def change_remote_user(step: Step, user_id: str, device_ids: Sequence[str], *, cross_signing: bool) -> None:
    """Another server has told of its user's devices, or keys."""
    item = CrossSigningItem(user_id) if cross_signing else DevicesItem(user_id, list(device_ids))
    _write(step, step.item(item), user_id, device_ids)


def _write(step: Step, pos: int, user_id: str, device_ids: Sequence[str]) -> None:
    step.row(tables.DEVICE_LIST_CHANGE, pos, user_id, orjson.dumps(list(device_ids)).decode())
    if is_trimmed_at(pos):
        step.row(encryption_tables.DEVICE_LIST_FOLD, user_id)
