"""A transaction's body, and what of one is bounded. Pure.

Spec: server-server-api.md#transactions.
"""

from collections.abc import Sequence
from typing import Final

import orjson

PDUS_LIMIT: Final = 50
EDUS_LIMIT: Final = 100
BYTES_LIMIT: Final = 2 << 20
"""Of a transaction's PDUs, one at least: the other side has to take it in as a whole."""


def path(txn_id: str) -> str:
    """Where a transaction is sent to; its id needs no escapes."""
    return f"/_matrix/federation/v1/send/{txn_id}"


def body(origin: str, ts: int, pdus: Sequence[str], edus: str) -> bytes:
    """Canonical JSON, spliced from PDUs (canonical JSON each) and a JSON array of EDUs. The same for a repeat."""
    encoded = orjson.dumps(orjson.loads(edus), option=orjson.OPT_SORT_KEYS)
    return b'{"edus":%b,"origin":%b,"origin_server_ts":%d,"pdus":[%b]}' % (
        encoded,
        orjson.dumps(origin),
        ts,
        ",".join(pdus).encode(),
    )


def fitting(sizes: Sequence[int]) -> int:
    """How many of the first PDUs, by their sizes, go into one transaction: one at least, if there is one."""
    size, count = 0, 0
    for one in sizes[:PDUS_LIMIT]:
        size += one
        if count and size > BYTES_LIMIT:
            break
        count += 1
    return count
