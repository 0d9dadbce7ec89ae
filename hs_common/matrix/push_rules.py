"""The predefined push rules as data, and the bits of an event that say which of them hold.

When an event is appended, `rule_bits` judges every predefined rule once, for all readers; the bits are stored with it.
What remains for a reader (is he mentioned, is he the one invited) are two more bits from `reader_bits`. A predefined
rule then matches if all bits of its mask are set: no reader with default rules needs the event's body.

The bit numbers are stored in the database: never renumber one, never reuse one.

Spec: client-server API, #predefined-rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from hs_common.matrix.push_conditions import Condition, EventFacts, compile_condition

# The kinds in the order in which they are checked.
KINDS = ("override", "content", "room", "sender", "underride")

# The reader is in the event's m.mentions.
MENTIONED = 1 << 32
# The event's state_key is the reader. Beside MENTIONED above the 31 bits that are stored.
TARGET = 1 << 33

MASTER = ".m.rule.master"


@dataclass(frozen=True, slots=True)
class PredefinedRule:
    """A rule that the server gives every user. `reader_condition` is the one that names the reader, if any."""

    kind: str
    rule_id: str
    conditions: tuple[Mapping[str, Any], ...]
    actions: tuple[Any, ...] = ()
    enabled: bool = True
    # The number of the bit that tells whether `conditions` hold; None where they ask nothing of the event.
    bit: int | None = None
    # The bit of the reader that must be set besides.
    reader_bit: int = 0
    # The rest of the conditions, as clients see them; its `{reader}` stands for the reader's user id.
    reader_condition: Mapping[str, Any] | None = None

    @property
    def mask(self) -> int:
        """The rule's conditions hold if all these bits are set."""
        return self.reader_bit | (0 if self.bit is None else 1 << self.bit)

    def as_json(self, user_id: str) -> dict[str, Any]:
        """The rule in a user's rule set."""
        conditions = [dict(condition) for condition in self.conditions]
        if self.reader_condition is not None:
            conditions.append(
                {key: user_id if value == "{reader}" else value for key, value in self.reader_condition.items()}
            )
        return {
            "rule_id": self.rule_id,
            "default": True,
            "enabled": self.enabled,
            "conditions": conditions,
            "actions": [action if isinstance(action, str) else dict(action) for action in self.actions],
        }


def _matches(key: str, pattern: str) -> Mapping[str, Any]:
    return MappingProxyType({"kind": "event_match", "key": key, "pattern": pattern})


def _sound(name: str) -> Mapping[str, Any]:
    return MappingProxyType({"set_tweak": "sound", "value": name})


_HIGHLIGHT = MappingProxyType({"set_tweak": "highlight"})
_TWO_MEMBERS = MappingProxyType({"kind": "room_member_count", "is": "2"})

# In the order in which they are checked within their kind.
PREDEFINED: tuple[PredefinedRule, ...] = (
    PredefinedRule("override", MASTER, (), enabled=False),
    PredefinedRule("override", ".m.rule.suppress_notices", (_matches("content.msgtype", "m.notice"),), bit=0),
    PredefinedRule(
        "override",
        ".m.rule.invite_for_me",
        (_matches("type", "m.room.member"), _matches("content.membership", "invite")),
        ("notify", _sound("default")),
        bit=1,
        reader_bit=TARGET,
        reader_condition=_matches("state_key", "{reader}"),
    ),
    PredefinedRule("override", ".m.rule.member_event", (_matches("type", "m.room.member"),), bit=2),
    PredefinedRule(
        "override",
        ".m.rule.is_user_mention",
        (),
        ("notify", _sound("default"), _HIGHLIGHT),
        reader_bit=MENTIONED,
        reader_condition=MappingProxyType(
            {"kind": "event_property_contains", "key": "content.m\\.mentions.user_ids", "value": "{reader}"}
        ),
    ),
    PredefinedRule(
        "override",
        ".m.rule.is_room_mention",
        (
            MappingProxyType({"kind": "event_property_is", "key": "content.m\\.mentions.room", "value": True}),
            MappingProxyType({"kind": "sender_notification_permission", "key": "room"}),
        ),
        ("notify", _HIGHLIGHT),
        bit=3,
    ),
    PredefinedRule(
        "override",
        ".m.rule.tombstone",
        (_matches("type", "m.room.tombstone"), _matches("state_key", "")),
        ("notify", _HIGHLIGHT),
        bit=4,
    ),
    PredefinedRule("override", ".m.rule.reaction", (_matches("type", "m.reaction"),), bit=5),
    PredefinedRule(
        "override",
        ".m.rule.room.server_acl",
        (_matches("type", "m.room.server_acl"), _matches("state_key", "")),
        bit=6,
    ),
    PredefinedRule(
        "override",
        ".m.rule.suppress_edits",
        (
            MappingProxyType(
                {"kind": "event_property_is", "key": "content.m\\.relates_to.rel_type", "value": "m.replace"}
            ),
        ),
        bit=7,
    ),
    PredefinedRule(
        "underride", ".m.rule.call", (_matches("type", "m.call.invite"),), ("notify", _sound("ring")), bit=8
    ),
    PredefinedRule(
        "underride",
        ".m.rule.encrypted_room_one_to_one",
        (_TWO_MEMBERS, _matches("type", "m.room.encrypted")),
        ("notify", _sound("default")),
        bit=9,
    ),
    PredefinedRule(
        "underride",
        ".m.rule.room_one_to_one",
        (_TWO_MEMBERS, _matches("type", "m.room.message")),
        ("notify", _sound("default")),
        bit=10,
    ),
    PredefinedRule("underride", ".m.rule.message", (_matches("type", "m.room.message"),), ("notify",), bit=11),
    PredefinedRule("underride", ".m.rule.encrypted", (_matches("type", "m.room.encrypted"),), ("notify",), bit=12),
)

BY_KIND_AND_ID: Mapping[tuple[str, str], PredefinedRule] = MappingProxyType(
    {(rule.kind, rule.rule_id): rule for rule in PREDEFINED}
)


def rule_bits(facts: EventFacts) -> int:
    """The bits to store with an event: for each predefined rule, whether its reader-independent conditions hold."""
    bits = 0
    for mask, conditions in _candidates(facts.event.get("type")):
        for condition in conditions:
            if not condition.holds(facts, None):
                break
        else:
            bits |= mask
    return bits


def reader_bits(*, mentioned: bool, is_target: bool) -> int:
    """The bits to add for one reader: is he in m.mentions (his mention row), is the event's state_key his user id."""
    return (MENTIONED if mentioned else 0) | (TARGET if is_target else 0)


def _compile() -> list[tuple[int, list[Condition]]]:
    compiled: list[tuple[int, list[Condition]]] = []
    for rule in PREDEFINED:
        if rule.bit is not None:
            conditions = [compile_condition(condition) for condition in rule.conditions]
            assert all(isinstance(condition, Condition) for condition in conditions), rule.rule_id
            compiled.append((1 << rule.bit, [one for one in conditions if isinstance(one, Condition)]))
    return compiled


_COMPILED = _compile()


@lru_cache(maxsize=1024)
def _candidates(event_type: object) -> list[tuple[int, list[Condition]]]:
    """The rules that events of this type can match at all. Most events are of few types, and most rules of one."""
    facts = EventFacts({"type": event_type}, 0, 0, MappingProxyType({}))
    return [
        (1 << rule.bit, conditions)
        for rule, (_, conditions) in zip((rule for rule in PREDEFINED if rule.bit is not None), _COMPILED, strict=True)
        if rule.bit is not None
        and all(
            compiled.holds(facts, None)
            for condition, compiled in zip(rule.conditions, conditions, strict=True)
            if condition.get("key") == "type"
        )
    ]
