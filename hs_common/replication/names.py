"""Every name and limit that crosses a process boundary: Redis keys and fields, the log's format, the frames' limits.

Rules: a name here is never given a second meaning; what only one process knows has no place here. Must not know what
any of it is used for.
"""

from dataclasses import dataclass
from typing import Final

# --- the log's format -----------------------------------------------------------------------------------------------

FORMAT: Final = 1  # the newest format of an entry that this code reads and writes
OLDEST_FORMAT: Final = 1  # the oldest format that it still reads

# --- Redis ----------------------------------------------------------------------------------------------------------

FIELD_PREVIOUS: Final = b"p"  # of an entry: the position before it
FIELD_FORMAT: Final = b"f"
FIELD_BODY: Final = b"b"  # of an entry or an ephemeral message
FIELD_STUB: Final = b"s"  # in place of the body: read it in the outbox
FIELD_HEAD: Final = b"h"  # of a beat: the position of the last commit
FIELD_ADDRESS: Final = b"a"  # of a beat: where the leader takes calls, "host:port"

BODY_LIMIT: Final = 256 * 1024  # bytes; larger bodies are read in the outbox: 64 of these are the worst reply (16 MiB)
READ_COUNT: Final = 64  # entries of one XREAD, which has no limit in bytes
BLOCK_MS: Final = 1000  # how long an XREAD waits for news
BEAT_INTERVAL: Final = 1.0  # seconds between two beats
BEATS_KEPT: Final = 10  # a follower only needs the last; some more help people who look
EPHEMERAL_KEPT: Final = 2000  # messages: values that are told again anyway, so only what a short pause needs
LOG_KEPT_SECONDS: Final = 60.0  # a follower further behind reads the outbox
LOG_KEPT_BYTES: Final = 64 * 1024 * 1024  # of bodies, so that Redis stays far below its own limit

# --- a carrier's queue, the publisher's and the memory carrier's alike ------------------------------------------------

QUEUE_ENTRIES: Final = 1000
QUEUE_BYTES: Final = 8 * 1024 * 1024

# --- the connection between a worker and the master ------------------------------------------------------------------

FRAME_LIMIT: Final = 8 * 1024 * 1024  # bytes of one frame; a call is at most an item (1 MiB) and its wrapping
LINK_FORMAT: Final = 1  # the newest format of frames
KEY_LENGTH: Final = 16  # bytes of the key that makes a call happen once


@dataclass(frozen=True)
class StreamKeys:
    """The Redis keys of one cluster. The id keeps a clone or a second cluster on the same Redis apart."""

    log: bytes
    beat: bytes
    ephemeral: bytes


def stream_keys(cluster_id: str) -> StreamKeys:
    """The keys of the cluster named `cluster_id`."""
    prefix = f"viaduct:{cluster_id}:".encode()
    return StreamKeys(log=prefix + b"log", beat=prefix + b"beat", ephemeral=prefix + b"ephemeral")
