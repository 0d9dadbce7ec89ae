"""A room as all its servers together make it, kept by the core alone: what a master is compared with.

graph = Graph("12", {"there": KEY_THERE, "test": KEY})
create = graph.create("@bob:there")
event = graph.add("@bob:there", "m.room.topic", {"topic": "x"}, state_key="", prevs=[create])

Every event's state before and after it is computed the plain way, from whole states: slow, and easy to believe.
"""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import orjson

from hs_common.matrix import auth_rules, canonical_json
from hs_common.matrix.auth.auth_events import check_auth_events
from hs_common.matrix.auth_rules import CREATE_KEY, AuthError
from hs_common.matrix.event import Event, StateMap
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.matrix.seal import seal
from hs_common.matrix.signing import SigningKey
from hs_common.matrix.state_resolution.resolve import resolve


class Node:
    """One event with what the core says of it."""

    def __init__(self, event: Event, encoded: bytes, before: StateMap, after: StateMap, reason: str | None) -> None:
        self.event = event
        self.encoded = encoded
        self.before = before
        self.after = after
        self.reason = reason  # why it is rejected; None: it is not

    @property
    def event_id(self) -> str:
        return self.event.event_id


class Graph:
    """The events of one room."""

    def __init__(self, version: str, keys: Mapping[str, SigningKey]) -> None:
        self.version = ROOM_VERSIONS[version]
        self._keys = keys
        self._ticks = count()
        self.nodes: dict[str, Node] = {}
        self.room_id = "!graph:there"

    def create(self, creator: str) -> Node:
        """The create event; the room's id is that of its hash from version 12 on."""
        content: dict[str, Any] = {"room_version": self.version.identifier, "creator": creator}
        if self.version.identifier in ("11", "12"):
            del content["creator"]
        node = self._seal(creator, "m.room.create", content, "", [], [], {})
        self.room_id = node.event.room_id
        return node

    def add(
        self,
        sender: str,
        event_type: str,
        content: dict[str, Any],
        state_key: str | None = None,
        *,
        prevs: Sequence[Node],
        auth: Sequence[str] | None = None,
        **more: Any,
    ) -> Node:
        """An event on top of others. `auth` overrides which auth events it lists."""
        before = self.state_after(prevs)
        if auth is None:
            keys = auth_rules.auth_state_keys(self.version, event_type, sender, state_key, content)
            auth = [before[key] for key in keys if key in before]
        return self._seal(
            sender, event_type, content, state_key, [node.event_id for node in prevs], auth, before, **more
        )

    def join(self, user_id: str, prevs: Sequence[Node]) -> Node:
        """A user's join."""
        return self.add(user_id, "m.room.member", {"membership": "join"}, user_id, prevs=prevs)

    def send(self, sender: str, body: str, prevs: Sequence[Node]) -> Node:
        """A message."""
        return self.add(sender, "m.room.message", {"msgtype": "m.text", "body": body}, prevs=prevs)

    def state_after(self, nodes: Sequence[Node]) -> StateMap:
        """What the states after some events make together."""
        if not nodes:
            return {}
        events = {event_id: node.event for event_id, node in self.nodes.items()}
        rejected = {event_id for event_id, node in self.nodes.items() if node.reason is not None}
        resolved = resolve(self.version, [node.after for node in nodes], events, rejected=rejected)
        assert isinstance(resolved, dict), resolved
        return resolved

    def auth_chain(self, state: StateMap) -> list[Node]:
        """The events of a state and all their auth events, each after those that it cites."""
        found: dict[str, Node] = {}
        pending = list(state.values())
        while pending:
            event_id = pending.pop()
            if event_id not in found:
                found[event_id] = self.nodes[event_id]
                pending += self.nodes[event_id].event.auth_event_ids
        return [node for event_id, node in self.nodes.items() if event_id in found]

    def _seal(
        self,
        sender: str,
        event_type: str,
        content: dict[str, Any],
        state_key: str | None,
        prevs: Sequence[str],
        auth: Sequence[str],
        before: StateMap,
        **more: Any,
    ) -> Node:
        server = sender.partition(":")[2]
        by_id = self.version.event_id_is_hash
        number = next(self._ticks)
        pdu: dict[str, Any] = {
            "auth_events": list(auth) if by_id else [[event_id, {}] for event_id in auth],
            "prev_events": list(prevs) if by_id else [[event_id, {}] for event_id in prevs],
            "content": content,
            "depth": 1 + max((self.nodes[event_id].event.depth for event_id in prevs), default=0),
            "origin_server_ts": 1_700_000_000_000 + number,
            "sender": sender,
            "type": event_type,
            **more,
        }
        if not (event_type == "m.room.create" and self.version.room_id_is_create_hash):
            pdu["room_id"] = self.room_id
        if state_key is not None:
            pdu["state_key"] = state_key
        if not by_id:
            pdu["event_id"] = f"$g{number}:{server}"
        sealed = seal(pdu, self.version, server, self._keys[server])
        event = Event.from_pdu(orjson.loads(sealed.encoded), self.version, sealed.event_id)
        reason = self._judge(event, before)
        after = {**before, event.key: event.event_id} if event.is_state and reason is None else before
        node = self.nodes[event.event_id] = Node(event, canonical_json.encode(event.pdu), before, after, reason)
        return node

    def _judge(self, event: Event, before: StateMap) -> str | None:
        rejected = {event_id for event_id, node in self.nodes.items() if node.reason is not None}
        events = {event_id: node.event for event_id, node in self.nodes.items()}
        listed = {events[event_id].key: events[event_id] for event_id in event.auth_event_ids}
        if not self.version.create_in_auth_events and event.type != "m.room.create":
            listed[CREATE_KEY] = events["$" + event.room_id[1:]]
        try:
            check_auth_events(event, events, rejected)
            auth_rules.authorise(event, listed)
            auth_rules.authorise(event, {key: events[event_id] for key, event_id in before.items()})
        except AuthError as error:
            return error.reason
        return None
