"""A homeserver elsewhere, on paper: it composes and signs events of its rooms, and answers what it is asked for.

It does as it is told, also what no honest server would do. `FarServers` is the way to several of them; it counts what
it was asked for, and fails for servers in `down`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any
from urllib.parse import unquote

import orjson

from hs_common.federation.interfaces import Query
from hs_common.federation.key_ring import Proof
from hs_common.matrix.auth_rules import auth_state_keys
from hs_common.matrix.errors import MatrixError, not_found
from hs_common.matrix.event import Event, StateKey
from hs_common.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from hs_common.matrix.seal import Sealed, seal
from hs_common.matrix.signing import SignatureError, SigningKey, sign_event, verify_bytes

Json = dict[str, Any]
START_MS = 1_700_000_000_000


def key_of(server: str) -> SigningKey:
    """The key of a server of this name, always the same."""
    return SigningKey("k1", sha256(server.encode()).digest())


class Keys:
    """The keys of all servers but those in `unknown`. `asked` is what was to be checked."""

    def __init__(self, **own: SigningKey) -> None:
        """`own` are the keys of servers that are no `FarServer`, by name."""
        self.unknown: set[str] = set()
        self.asked: list[Proof] = []
        self._own = own

    async def check(self, proofs: Sequence[Proof]) -> list[str | None]:
        self.asked += proofs
        return [self._reason(proof) for proof in proofs]

    def _reason(self, proof: Proof) -> str | None:
        key = (self._own.get(proof.server) or key_of(proof.server)).verify_key
        keys = {} if proof.server in self.unknown else {key.key_id: key}
        try:
            verify_bytes(proof.data, proof.signatures, proof.server, keys)
        except SignatureError as error:
            return str(error)
        return None


class FarRoom:
    """A room as a server sees it. `state` is that after the newest event; `events` has all, in their order."""

    def __init__(self, server: "FarServer", version: RoomVersion, creator: str, join_rule: str = "public") -> None:
        self.server = server
        self.version = version
        self.creator = creator
        self.room_id = "" if version.room_id_is_create_hash else f"!{server.count()}:{server.name}"
        self.events: dict[str, Event] = {}
        self.state: dict[StateKey, Event] = {}
        self.before: dict[str, dict[StateKey, Event]] = {}
        self.heads: list[str] = []
        content = {"room_version": version.identifier}
        if version.creator_in_content:
            content["creator"] = creator
        self.send("m.room.create", content, state_key="")
        self.join(creator)
        users = {} if version.privileged_creators else {creator: 100}
        self.send("m.room.power_levels", {"users": users}, state_key="")
        self.send("m.room.join_rules", {"join_rule": join_rule}, state_key="")

    def compose(
        self,
        event_type: str,
        content: Json,
        *,
        sender: str | None = None,
        state_key: str | None = None,
        prev: Sequence[str] | None = None,
        auth: Sequence[str] | None = None,
        state: Mapping[StateKey, Event] | None = None,
        **more: Any,
    ) -> Event:
        """An event signed by its sender's server, which is not put into the room. `more` are keys of the PDU."""
        sender = sender or self.creator
        seen = self.state if state is None else state
        keys = auth_state_keys(self.version, event_type, sender, state_key, content)
        auth_ids = [seen[key].event_id for key in keys if key in seen] if auth is None else list(auth)
        prev_ids = self.heads if prev is None else list(prev)
        depths = [self.events[one].depth for one in prev_ids if one in self.events]
        pdu: Json = {
            "type": event_type,
            "sender": sender,
            "room_id": self.room_id,
            "content": content,
            "depth": 1 + max(depths, default=0),
            "origin_server_ts": START_MS + self.server.count(),
            "prev_events": self._references(prev_ids),
            "auth_events": self._references(auth_ids),
            **({} if state_key is None else {"state_key": state_key}),
            **more,
        }
        if not self.room_id:
            del pdu["room_id"]
        return _event(pdu, self.version, sender.partition(":")[2], self.server)

    def _references(self, event_ids: Sequence[str]) -> list[Any]:
        if self.version.event_id_is_hash:
            return list(event_ids)
        return [[event_id, {"sha256": ""}] for event_id in event_ids]

    def put(self, event: Event) -> Event:
        """The event is the newest of the room."""
        self.before[event.event_id] = dict(self.state)
        self.events[event.event_id] = event
        self.heads = [head for head in self.heads if head not in event.prev_event_ids] + [event.event_id]
        if event.is_state:
            self.state[event.key] = event
        self.room_id = self.room_id or event.room_id
        return event

    def send(self, event_type: str, content: Json, **more: Any) -> Event:
        return self.put(self.compose(event_type, content, **more))

    def say(self, body: str, sender: str | None = None, **more: Any) -> Event:
        return self.send("m.room.message", {"msgtype": "m.text", "body": body}, sender=sender, **more)

    def member(self, user_id: str, membership: str, sender: str | None = None, **content: Any) -> Event:
        return self.send(
            "m.room.member", {"membership": membership, **content}, sender=sender or user_id, state_key=user_id
        )

    def join(self, user_id: str) -> Event:
        return self.member(user_id, "join")

    def auth_chain(self, event_ids: Sequence[str]) -> list[Event]:
        """What gives events their right, all the way back; each before those that cite it."""
        found: set[str] = set()
        waiting = [one for event_id in event_ids for one in self._cited(event_id)]
        while waiting:
            event_id = waiting.pop()
            if event_id not in found:
                found.add(event_id)
                waiting += self._cited(event_id)
        return [event for event in self.events.values() if event.event_id in found]

    def _cited(self, event_id: str) -> Sequence[str]:
        create = next(iter(self.events))
        cited = self.events[event_id].auth_event_ids
        return cited if self.version.create_in_auth_events or event_id == create else (*cited, create)


def _event(pdu: Json, version: RoomVersion, signer: str, server: "FarServer") -> Event:
    if not version.event_id_is_hash:
        pdu = {**pdu, "event_id": f"${server.count()}:{signer}"}
    sealed: Sealed = seal(pdu, version, signer, key_of(signer))
    return Event.from_pdu(sealed.pdu, version, sealed.event_id)


class FarServer:
    """One server. `answers` may have, by the beginning of a path, what it answers instead of the truth."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rooms: dict[str, FarRoom] = {}
        self.answers: dict[str, Callable[[str, Any], Any]] = {}
        self.devices: dict[str, Json] = {}
        self._count = 0

    def count(self) -> int:
        self._count += 1
        return self._count

    def room(self, version: str = "12", creator: str = "carol", join_rule: str = "public") -> FarRoom:
        """A new room with its creator in it."""
        room = FarRoom(self, ROOM_VERSIONS[version], f"@{creator}:{self.name}", join_rule)
        self.rooms[room.room_id] = room
        return room

    def ask(self, method: str, path: str, query: Mapping[str, Any], body: Any) -> Any:
        for beginning, answer in self.answers.items():
            if path.startswith(beginning):
                return answer(path, body if method != "GET" else query)
        parts = [unquote(part) for part in path.split("/")[4:]]
        work = getattr(self, f"_{parts[0]}", None)
        if work is None:
            raise MatrixError(404, "M_UNRECOGNIZED", "no such endpoint")
        return orjson.loads(orjson.dumps(work(*parts[1:], query=query, body=body), default=dict))

    def _room_of(self, room_id: str) -> FarRoom:
        if room_id not in self.rooms:
            raise not_found("no such room")
        return self.rooms[room_id]

    def _event(self, event_id: str, **_: Any) -> Json:
        for room in self.rooms.values():
            if event_id in room.events:
                return {"origin": self.name, "origin_server_ts": 0, "pdus": [dict(room.events[event_id].pdu)]}
        raise not_found("no such event")

    def _event_auth(self, room_id: str, event_id: str, **_: Any) -> Json:
        room = self._room_of(room_id)
        if event_id not in room.events:
            raise not_found("no such event")
        return {"auth_chain": [dict(event.pdu) for event in room.auth_chain([event_id])]}

    def _state_at(self, room_id: str, event_id: str) -> tuple[list[Event], list[Event]]:
        room = self._room_of(room_id)
        state = list(room.before[event_id].values())
        return state, room.auth_chain([event.event_id for event in state])

    def _state_ids(self, room_id: str, query: Mapping[str, Any], body: Any) -> Json:
        state, chain = self._state_at(room_id, query["event_id"])
        return {"pdu_ids": [e.event_id for e in state], "auth_chain_ids": [e.event_id for e in chain]}

    def _state(self, room_id: str, query: Mapping[str, Any], body: Any) -> Json:
        state, chain = self._state_at(room_id, query["event_id"])
        return {"pdus": [dict(e.pdu) for e in state], "auth_chain": [dict(e.pdu) for e in chain]}

    def _get_missing_events(self, room_id: str, query: Mapping[str, Any], body: Any) -> Json:
        room = self._room_of(room_id)
        found: dict[str, Event] = {}
        waiting = list(body["latest_events"])
        while waiting and len(found) < min(body["limit"], 20):
            event = room.events.get(waiting.pop(0))
            for prev in event.prev_event_ids if event is not None else ():
                if prev in room.events and prev not in body["earliest_events"] and prev not in found:
                    found[prev] = room.events[prev]
                    waiting.append(prev)
        return {"events": [dict(event.pdu) for event in reversed(list(found.values()))]}

    def _backfill(self, room_id: str, query: Mapping[str, Any], body: Any) -> Json:
        room = self._room_of(room_id)
        found: list[Event] = []
        waiting = [query["v"]] if isinstance(query["v"], str) else list(query["v"])
        while waiting and len(found) < int(query["limit"]):
            event = room.events.get(waiting.pop(0))
            if event is not None and event not in found:
                found.append(event)
                waiting += event.prev_event_ids
        return {"origin": self.name, "origin_server_ts": 0, "pdus": [dict(event.pdu) for event in found]}

    def _make_join(self, room_id: str, user_id: str, **_: Any) -> Json:
        return self._template(room_id, user_id, "join")

    def _make_leave(self, room_id: str, user_id: str, **_: Any) -> Json:
        return self._template(room_id, user_id, "leave")

    def _make_knock(self, room_id: str, user_id: str, **_: Any) -> Json:
        return self._template(room_id, user_id, "knock")

    def _template(self, room_id: str, user_id: str, membership: str) -> Json:
        room = self._room_of(room_id)
        event = room.compose("m.room.member", {"membership": membership}, sender=user_id, state_key=user_id)
        template = {key: value for key, value in event.pdu.items() if key not in ("hashes", "signatures", "event_id")}
        return {"room_version": room.version.identifier, "event": template}

    def _send_join(self, room_id: str, event_id: str, query: Mapping[str, Any], body: Any) -> Json:
        room = self._room_of(room_id)
        state = list(room.state.values())
        chain = room.auth_chain([event.event_id for event in state])
        own = {} if room.version.event_id_is_hash else {"event_id": event_id}
        signed = sign_event({**body, **own}, room.version, self.name, key_of(self.name))
        room.put(Event.from_pdu(signed, room.version))
        return {
            "origin": self.name,
            "auth_chain": [dict(event.pdu) for event in chain],
            "state": [dict(event.pdu) for event in state],
            "event": signed,
        }

    def _send_leave(self, room_id: str, event_id: str, query: Mapping[str, Any], body: Any) -> Json:
        room = self._room_of(room_id)
        room.put(Event.from_pdu(body, room.version))
        return {}

    def _send_knock(self, room_id: str, event_id: str, query: Mapping[str, Any], body: Any) -> Json:
        room = self._room_of(room_id)
        room.put(Event.from_pdu(body, room.version))
        return {"knock_room_state": [dict(room.state[("m.room.create", "")].pdu)]}

    def _user(self, what: str, user_id: str, **_: Any) -> Json:
        if user_id not in self.devices:
            raise not_found("no such user")
        return self.devices[user_id]


class FarServers:
    """The way to servers by their names."""

    def __init__(self, *servers: FarServer) -> None:
        self.servers = {server.name: server for server in servers}
        self.asked: list[tuple[str, str]] = []  # (server, the endpoint's name in the path)
        self.down: set[str] = set()

    async def get(self, server: str, path: str, query: Query | None = None, *, large: bool = False) -> Any:
        return self._ask(server, "GET", path, query or {}, None)

    async def put(self, server: str, path: str, body: Mapping[str, Any]) -> Any:
        return self._ask(server, "PUT", path, {}, body)

    async def post(self, server: str, path: str, body: Mapping[str, Any]) -> Any:
        return self._ask(server, "POST", path, {}, body)

    async def get_streaming(
        self, server: str, path: str, query: Query, receive: Callable[[bytes], Awaitable[None]]
    ) -> None:
        await self._stream(self._ask(server, "GET", path, query, None), receive)

    async def put_streaming(
        self, server: str, path: str, body: Mapping[str, Any], receive: Callable[[bytes], Awaitable[None]]
    ) -> None:
        await self._stream(self._ask(server, "PUT", path, {}, body), receive)

    async def _stream(self, answer: Any, receive: Callable[[bytes], Awaitable[None]]) -> None:
        encoded = orjson.dumps(answer)
        for start in range(0, len(encoded), 1000):
            await receive(encoded[start : start + 1000])

    def _ask(self, server: str, method: str, path: str, query: Mapping[str, Any], body: Any) -> Any:
        self.asked.append((server, path.split("/")[4]))
        if server in self.down or server not in self.servers:
            raise MatrixError(502, "M_UNKNOWN", f"{server} cannot be reached")
        return self.servers[server].ask(method, path, query, body)
