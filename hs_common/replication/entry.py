"""An entry of the log: one commit, as the outbox, Redis and the memory carrier all carry it.

The header (epoch, position, position before, format) travels beside the body, the same bytes everywhere. The body names
its items; each item stays encoded until somebody needs it. Must not know the kinds of items, nor who carries an entry.
"""

from collections.abc import Iterable, Sequence

import msgspec

from hs_common.replication.names import FIELD_BODY, FIELD_FORMAT, FIELD_PREVIOUS, FIELD_STUB, FORMAT, OLDEST_FORMAT


class UnknownFormat(Exception):
    """An entry in a format that this code does not read: this process has to be upgraded, never to skip the entry."""

    def __init__(self, format: int) -> None:
        super().__init__(
            f"the log is written in format {format}, this process reads {OLDEST_FORMAT} to {FORMAT}: upgrade it first"
        )
        self.format = format


class BrokenEntry(Exception):
    """Bytes that are no entry."""


class EntryItem(msgspec.Struct, array_like=True, frozen=True):
    """One item's place in an entry. `body` is encoded; `items.decode(kind, body)` reads it."""

    pos: int
    kind: str
    body: msgspec.Raw


class Body(msgspec.Struct, array_like=True, frozen=True):
    """What a commit holds. `made_ms`: the master's wall clock; items by rising position, the last at the entry's."""

    made_ms: int
    items: list[EntryItem]


class Entry(msgspec.Struct, frozen=True):
    """One commit. `pos` is the position of its last item, `prev` that of the entry before. No body: a stub."""

    epoch: int
    pos: int
    prev: int
    format: int
    body: bytes | None


_encoder = msgspec.msgpack.Encoder()
_body_decoder = msgspec.msgpack.Decoder(Body)


def encode_body(made_ms: int, items: Iterable[tuple[int, str, bytes]]) -> bytes:
    """The body of a commit from its items (position, kind, encoded item) by rising position."""
    return _encoder.encode((made_ms, [(pos, kind, msgspec.Raw(body)) for pos, kind, body in items]))


def decode_body(entry: Entry) -> Body:
    """The entry's items, still encoded. Raises UnknownFormat, or BrokenEntry for bytes that are no body."""
    if not OLDEST_FORMAT <= entry.format <= FORMAT:
        raise UnknownFormat(entry.format)
    if entry.body is None:
        raise BrokenEntry(f"entry {entry.pos} is a stub")
    try:
        return _body_decoder.decode(entry.body)
    except msgspec.DecodeError as error:
        raise BrokenEntry(f"entry {entry.pos} cannot be read: {error}") from error


def stream_id(epoch: int, number: int) -> bytes:
    """The id of a stream entry: ids rise with the epoch, and within it with the position or counter."""
    return b"%d-%d" % (epoch, number)


def read_stream_id(value: bytes) -> tuple[int, int]:
    """The epoch and the position or counter of a stream id. Raises BrokenEntry."""
    try:
        epoch, number = value.split(b"-")
        return int(epoch), int(number)
    except ValueError as error:
        raise BrokenEntry(f"{value!r} is no stream id") from error


def stream_fields(entry: Entry, body_limit: int) -> list[bytes]:
    """The fields and values of the entry in a stream; a body above `body_limit` bytes is left to the outbox."""
    header = [FIELD_PREVIOUS, b"%d" % entry.prev, FIELD_FORMAT, b"%d" % entry.format]
    if entry.body is None or len(entry.body) > body_limit:
        return [*header, FIELD_STUB, b"1"]
    return [*header, FIELD_BODY, entry.body]


def from_stream(id: bytes, fields: Sequence[bytes]) -> Entry:
    """The entry that a stream holds under `id`. Unknown fields are skipped. Raises BrokenEntry."""
    epoch, pos = read_stream_id(id)
    values = dict(zip(fields[::2], fields[1::2], strict=False))
    try:
        prev, format = int(values[FIELD_PREVIOUS]), int(values[FIELD_FORMAT])
    except (KeyError, ValueError) as error:
        raise BrokenEntry(f"stream entry {id!r} lacks its header") from error
    return Entry(epoch, pos, prev, format, values.get(FIELD_BODY))
