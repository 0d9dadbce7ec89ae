"""Answers of /sync in the form that they had before it. Pure.

Spec: client-server API, #get_matrixclientv3initialsync, #get_matrixclientv3events.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import orjson

Json = dict[str, Any]


class RoomTold(NamedTuple):
    """What /sync does not tell of a room: the reader's membership, its event as JSON, and whether it is published."""

    room_id: str
    membership: str
    event_id: str
    json: str | None
    is_public: bool


def parse(body: bytes) -> Json:
    """An answer of /sync."""
    told: Json = orjson.loads(body)
    return told


def rooms_of(told: Json) -> list[str]:
    """The rooms that an answer tells of."""
    return [room_id for section in told.get("rooms", {}).values() for room_id in section]


def initial_sync(told: Json, rows: Iterable[Sequence[Any]]) -> Json:
    """The answer of /initialSync; `rows` are as RoomTold."""
    sections = told.get("rooms", {})
    known = {**sections.get("join", {}), **sections.get("leave", {})}
    rooms = []
    for row in map(RoomTold._make, rows):
        if row.room_id in known:
            rooms.append(_room(row, known[row.room_id], told["next_batch"]))
        elif row.membership == "invite" and row.json is not None:
            rooms.append({"room_id": row.room_id, "membership": "invite", "invite": _invite(row)})
    return {
        "end": told["next_batch"],
        "rooms": rooms,
        "presence": _events(told.get("presence")),
        "account_data": _events(told.get("account_data")),
    }


def events(told: Json, start: str) -> Json:
    """The answer of /events."""
    sections = told.get("rooms", {})
    rooms = [*sections.get("join", {}).items(), *sections.get("leave", {}).items()]
    chunk = [{**event, "room_id": room_id} for room_id, room in rooms for event in _events(room.get("timeline"))]
    return {"start": start, "end": told["next_batch"], "chunk": chunk}


def _room(row: RoomTold, room: Json, end: str) -> Json:
    timeline = room["timeline"]
    messages = {"end": end, "chunk": _of_room(row.room_id, _events(timeline))}
    if timeline["prev_batch"]:
        messages["start"] = timeline["prev_batch"]
    return {
        "room_id": row.room_id,
        "membership": row.membership,
        "messages": messages,
        "state": _of_room(row.room_id, _events(room.get("state_after"))),
        "visibility": "public" if row.is_public else "private",
        "account_data": _events(room.get("account_data")),
    }


def _invite(row: RoomTold) -> Json:
    pdu = orjson.loads(row.json or "{}")
    shown = {key: pdu[key] for key in ("type", "sender", "state_key", "content", "origin_server_ts")}
    return {**shown, "event_id": row.event_id, "room_id": row.room_id}


def _of_room(room_id: str, found: Iterable[Json]) -> list[Json]:
    return [{**event, "room_id": room_id} for event in found]


def _events(section: Json | None) -> list[Json]:
    return [] if section is None else section["events"]
