"""What a matching push rule does: notify or not, and with which tweaks.

Historical actions (`dont_notify`, `coalesce`) mean nothing and are dropped.

Spec: client-server API, #actions.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hs_common.matrix.errors import MatrixError, bad_json, invalid_param

_HISTORICAL = ("dont_notify", "coalesce")

# Actions of one rule: there are two tweaks in use, and the list is read for each match.
MAX_ACTIONS = 32


@dataclass(frozen=True, slots=True)
class Actions:
    """The outcome of an event for a reader. `highlight` is only true of an event that notifies."""

    notify: bool = False
    highlight: bool = False
    # As sent to the push gateway.
    tweaks: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> list[Any]:
        """The actions as clients get them."""
        tweaks = [{"set_tweak": name, "value": value} for name, value in self.tweaks.items()]
        return ["notify", *tweaks] if self.notify else []


NOTHING = Actions()


def parse_actions(actions: object) -> Actions:
    """The meaning of a stored `actions` list; what it does not understand is ignored."""
    entries = actions if isinstance(actions, Iterable) else ()
    notify, tweaks = False, {}
    for entry in entries:
        if entry == "notify":
            notify = True
        elif isinstance(entry, Mapping) and isinstance(entry.get("set_tweak"), str):
            tweak = entry["set_tweak"]
            # A highlight tweak without value is true.
            tweaks[tweak] = entry.get("value", True if tweak == "highlight" else None)
    if not notify:
        return NOTHING
    return Actions(notify=True, highlight=tweaks.get("highlight") is True, tweaks=tweaks)


def check_actions(actions: object) -> list[Any]:
    """The `actions` that a client sent, without the historical ones.

    Raises M_BAD_JSON for another shape, M_INVALID_PARAM for an unknown action.
    """
    if not isinstance(actions, list):
        raise bad_json("`actions` must be an array")
    if len(actions) > MAX_ACTIONS:
        raise invalid_param(f"A rule has at most {MAX_ACTIONS} actions")
    for action in actions:
        _check_action(action)
    return [action for action in actions if action not in _HISTORICAL]


def _check_action(action: object) -> None:
    if isinstance(action, str):
        if action != "notify" and action not in _HISTORICAL:
            raise invalid_param(f"Unknown action {action!r}")
    elif not isinstance(action, dict):
        raise bad_json("An action is a string or an object")
    elif not isinstance(action.get("set_tweak"), str):
        raise _tweak_without_name()


def _tweak_without_name() -> MatrixError:
    return invalid_param("An action that is an object must have `set_tweak` with the name of a tweak")
