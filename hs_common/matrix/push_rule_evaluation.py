"""A user's push rules, compiled once and then asked for each event.

The compiled form is a sequence of steps in order of priority. A step of a predefined rule is a mask over the event's
bits (push_rules.py). A step of the user's own rule has first conditions on room and sender, then conditions that need
the event; only if the latter decide, and the event was not given, does `judge` answer None: "give me the event". Room
and sender rules are looked up by id.

Spec: client-server API, #push-rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hs_common.matrix import push_conditions, push_rules
from hs_common.matrix.push_actions import NOTHING, Actions, parse_actions
from hs_common.matrix.push_conditions import CheapCondition, Condition, EventFacts


@dataclass(frozen=True, slots=True)
class Step:
    """An enabled rule. It matches if all bits of `mask` are set and all conditions hold."""

    actions: Actions
    mask: int = 0
    cheap: tuple[CheapCondition, ...] = ()
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Reader:
    """The user for whom an event is judged, and his display name in the room."""

    user_id: str
    display_name: str | None = None


@dataclass(frozen=True, slots=True)
class CompiledRules:
    """The enabled rules of a user, by the order of their kinds."""

    # override and content
    first: tuple[Step, ...]
    rooms: Mapping[str, Actions]
    senders: Mapping[str, Actions]
    # underride
    last: tuple[Step, ...]

    def in_room(self, room_id: str) -> "CompiledRules":
        """The same rules with the conditions on the room decided, for judging many events of one room.

        Users mute rooms by an override rule each; those of the other rooms are gone here.
        """
        return replace(self, first=_decided(self.first, room_id), last=_decided(self.last, room_id))

    def conditions(self) -> int:
        """How many conditions may have to be tried on one event."""
        return sum(len(step.conditions) for steps in (self.first, self.last) for step in steps)

    def judge(
        self, bits: int, room_id: str, sender: str, reader: Reader, event: EventFacts | None = None
    ) -> Actions | None:
        """The actions of the first rule that matches, or None if that cannot be known without `event`.

        `bits` is the event's stored rule bits with the reader's (`push_rules.reader_bits`). Own events do nothing.
        """
        if sender == reader.user_id:
            return NOTHING
        for step in self.first:
            matches = _matches(step, bits, room_id, sender, reader, event)
            if matches is not False:
                return step.actions if matches else None
        keyed = self.rooms.get(room_id) or self.senders.get(sender)
        if keyed is not None:
            return keyed
        for step in self.last:
            matches = _matches(step, bits, room_id, sender, reader, event)
            if matches is not False:
                return step.actions if matches else None
        return NOTHING


def _decided(steps: tuple[Step, ...], room_id: str) -> tuple[Step, ...]:
    return tuple(
        replace(step, cheap=tuple(test for test in step.cheap if not test.on_room))
        for step in steps
        if all(test.test(room_id) for test in step.cheap if test.on_room)
    )


def _matches(step: Step, bits: int, room_id: str, sender: str, reader: Reader, event: EventFacts | None) -> bool | None:
    if bits & step.mask != step.mask or not all(test.holds(room_id, sender) for test in step.cheap):
        return False
    if not step.conditions:
        return True
    if event is None:
        return None
    return all(test.holds(event, reader.display_name) for test in step.conditions)


def compile_rules(rule_set: Mapping[str, Any]) -> CompiledRules:
    """Compile the `global` rule set of a user, as `push_rule_edits.merged` gives it. Malformed rules never match."""
    return CompiledRules(
        first=tuple(_steps("override", rule_set)) + tuple(_steps("content", rule_set)),
        rooms=_keyed("room", rule_set),
        senders=_keyed("sender", rule_set),
        last=tuple(_steps("underride", rule_set)),
    )


def _enabled(kind: str, rule_set: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [rule for rule in rule_set[kind] if rule["enabled"]]


def _keyed(kind: str, rule_set: Mapping[str, Any]) -> Mapping[str, Actions]:
    return {rule["rule_id"]: parse_actions(rule["actions"]) for rule in _enabled(kind, rule_set)}


def _steps(kind: str, rule_set: Mapping[str, Any]) -> list[Step]:
    return [_step(kind, rule) for rule in _enabled(kind, rule_set)]


def _step(kind: str, rule: Mapping[str, Any]) -> Step:
    actions = parse_actions(rule["actions"])
    predefined = push_rules.BY_KIND_AND_ID.get((kind, rule["rule_id"]))
    if predefined is not None:
        return Step(actions, mask=predefined.mask)
    if kind == "content":
        conditions = [push_conditions.body_contains(rule.get("pattern"))]
    else:
        conditions = [push_conditions.compile_condition(condition) for condition in rule.get("conditions", ())]
    return Step(
        actions,
        cheap=tuple(condition for condition in conditions if isinstance(condition, CheapCondition)),
        conditions=tuple(condition for condition in conditions if isinstance(condition, Condition)),
    )
