"""That a user's device list changed. /sync, application services and other servers each look for it by position.

Spec: server-server-api.md#device-management.
"""

from collections.abc import Sequence

import orjson

from hs_master import tables
from hs_master.step import Step


def tell_device_list(step: Step, pos: int, user_id: str, device_ids: Sequence[str]) -> None:
    """These devices changed with the item at `pos`; none of them: the cross-signing keys did."""
    step.row(tables.DEVICE_LIST_CHANGE, pos, user_id, orjson.dumps(list(device_ids)).decode())
