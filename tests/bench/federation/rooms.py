"""Rooms of servers that do not exist: whole, hashed and signed, as another server would tell of them. Pure.

A room begins with its state; what is written into it afterwards continues from the join of the server that is measured,
in one line or in branches.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.matrix.seal import Sealed, seal
from hs_common.matrix.signing import SigningKey

STARTED_MS: Final = 1_760_000_000_000
"""When the rooms began; each event is a second later."""
CHANGED_SHARE: Final = 5
"""Each so many-th member has changed the profile since the join: the auth chain is no mere part of the state."""
_WORDS: Final = "The quick brown fox jumps over the lazy dog, and the dog does not mind, for it is a federated dog. "

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Origin:
    """A server: its name and its key."""

    name: str
    key: SigningKey


class ForeignRoom:
    """A public room whose members are all elsewhere. `label` keeps the ids of two of them apart."""

    def __init__(self, version: str, origins: Sequence[Origin], members: int, label: str) -> None:
        self.version = ROOM_VERSIONS[version]
        self.label = label
        self._origins = origins
        self._depth = itertools.count(1)
        self._times = itertools.count(STARTED_MS, 1_000)
        self._prev: tuple[str, ...] = ()
        self.room_id = f"!{label}:{origins[0].name}"
        self.users = [f"@m{number}:{origins[number % len(origins)].name}" for number in range(members)]
        self._members: dict[str, Sealed] = {}
        self._older: list[Sealed] = []
        self._rules: list[Sealed] = []
        self._create = self._begun()
        self._fill()

    # Its state, as the answer to a join

    @property
    def state(self) -> list[Sealed]:
        return [self._create, *self._rules, *self._members.values()]

    @property
    def auth_chain(self) -> list[Sealed]:
        """What the events of the state cite, recursively."""
        return [self._create, self._members[self.users[0]], *self._rules[:2], *self._older]

    def join_template(self, user_id: str) -> Json:
        """The answer to /make_join."""
        return {"room_version": self.version.identifier, "event": self._composed(self._membership(user_id, None, ()))}

    def join_answer(self) -> bytes:
        """The answer to /send_join, as bytes."""
        state, chain = (b",".join(event.encoded for event in events) for events in (self.state, self.auth_chain))
        head = orjson.dumps({"origin": self._origins[0].name, "members_omitted": False})[:-1]
        return head + b',"state":[' + state + b'],"auth_chain":[' + chain + b"]}"

    def joined(self, event_id: str, depth: int) -> None:
        """The measured server has joined: what follows continues from there."""
        self._prev = (event_id,)
        self._depth = itertools.count(depth + 1)

    # What is written into it

    def line(self, sender: int) -> Iterator[Sealed]:
        """Messages, one after the other; the members take turns, beginning with one."""
        for number in itertools.count(sender):
            yield self._written(self._message(self.users[number % len(self.users)]))

    def branches(self) -> Iterator[Sealed]:
        """Two branches of three events, interleaved, then one that joins them and one more: three events in four fork
        the room. Each branch changes the state; every other time both change the same."""
        changing = itertools.cycle(self.users[len(self.users) // 2 :])
        for cycle in itertools.count():
            both = cycle % 2 == 0
            base = self._prev
            left, right = base, base
            steps = (
                [self._message(self.users[0]), self._topic(f"left {cycle}"), self._message(self.users[1])],
                [
                    self._message(self.users[2 % len(self.users)]),
                    self._topic(f"right {cycle}") if both else self._renamed(next(changing), cycle),
                    self._message(self.users[3 % len(self.users)]),
                ],
            )
            for one, other in zip(*steps, strict=True):
                event = self._written(one, left)
                left = (event.event_id,)
                yield event
                event = self._written(other, right)
                right = (event.event_id,)
                yield event
            yield self._written(self._message(self.users[0]), (*left, *right))
            yield self._written(self._message(self.users[1]))

    # Composing

    def _begun(self) -> Sealed:
        version, creator = self.version, self.users[0]
        content: Json = {"room_version": version.identifier}
        if not version.room_id_is_create_hash:
            content["creator"] = creator
        pdu: Json = {"type": "m.room.create", "state_key": "", "sender": creator, "content": content}
        if version.room_id_is_create_hash:
            content["label"] = self.label
        else:
            pdu["room_id"] = self.room_id
        create = self._sealed({**pdu, "auth_events": []})
        self.room_id = create.room_id
        self._create = create
        self._members[creator] = self._sealed(self._membership(creator, None, ()))
        users = {} if version.room_id_is_create_hash else {creator: 100}
        levels: Json = {"users": users, "state_default": 0, "events_default": 0}
        self._rules.append(self._sealed(self._state("m.room.power_levels", levels)))
        self._rules.append(self._sealed(self._state("m.room.join_rules", {"join_rule": "public"})))
        self._rules.append(self._sealed(self._state("m.room.history_visibility", {"history_visibility": "shared"})))
        self._rules.append(self._sealed(self._state("m.room.name", {"name": self.label})))
        return create

    def _fill(self) -> None:
        for number, user_id in enumerate(self.users[1:], 1):
            joined = self._sealed(self._membership(user_id, f"Member {number}", ()))
            if number % CHANGED_SHARE == 0:
                self._older.append(joined)
                name = f"Member {number}, renamed"
                joined = self._sealed(self._membership(user_id, name, (joined.event_id,)))
            self._members[user_id] = joined

    def _membership(self, user_id: str, name: str | None, before: tuple[str, ...]) -> Json:
        content: Json = {"membership": "join"} | ({} if name is None else {"displayname": name})
        # The rules are not there yet when the creator joins.
        cited = [*(event.event_id for event in self._rules[:2]), *before]
        return self._event("m.room.member", user_id, content, cited) | {"state_key": user_id}

    def _state(self, event_type: str, content: Json) -> Json:
        levels = [event.event_id for event in self._rules[:1]]
        cited = [*levels, self._members[self.users[0]].event_id]
        return self._event(event_type, self.users[0], content, cited) | {"state_key": ""}

    def _topic(self, topic: str) -> Json:
        return self._state("m.room.topic", {"topic": topic})

    def _renamed(self, user_id: str, number: int) -> Json:
        return self._membership(user_id, f"Renamed {number}", (self._members[user_id].event_id,))

    def _message(self, sender: str) -> Json:
        content = {"msgtype": "m.text", "body": _WORDS}
        cited = [self._rules[0].event_id, self._members[sender].event_id]
        return self._event("m.room.message", sender, content, cited)

    def _event(self, event_type: str, sender: str, content: Json, cited: Sequence[str]) -> Json:
        create = [self._create.event_id] if self.version.create_in_auth_events else []
        named: Json = {"type": event_type, "room_id": self.room_id, "sender": sender, "content": content}
        return {**named, "auth_events": [*create, *cited]}

    def _composed(self, event: Json, prev: tuple[str, ...] | None = None) -> Json:
        prev = self._prev if prev is None else prev
        times: Json = {"origin_server_ts": next(self._times), "depth": next(self._depth)}
        return {**event, **times, "prev_events": list(prev)}

    def _written(self, event: Json, prev: tuple[str, ...] | None = None) -> Sealed:
        return self._sealed(event, prev)

    def _sealed(self, event: Json, prev: tuple[str, ...] | None = None) -> Sealed:
        number = int(event["sender"][2:].partition(":")[0])
        origin = self._origins[number % len(self._origins)]
        sealed = seal(self._composed(event, prev), self.version, origin.name, origin.key)
        self._prev = (sealed.event_id,)
        return sealed
