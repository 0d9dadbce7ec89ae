"""Children of spaces: which m.space.child events count, and their order. Pure.

Spec: client-server API, #spaces, #ordering-of-children-within-a-space.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from hs_common.matrix.identifiers import is_room_id, is_server_name

SPACE: Final = "m.space"
CHILD: Final = "m.space.child"
MAXIMUM_ORDER_LENGTH: Final = 50
MAXIMUM_VIA: Final = 50
"""Servers of a child that are looked at."""


class Child(NamedTuple):
    """A child of a space. `stripped`: its event as /hierarchy shows it."""

    room_id: str
    via: tuple[str, ...]
    is_suggested: bool
    order: str | None
    origin_server_ts: int
    stripped: Mapping[str, Any]


def child_of(room_id: object, event: Mapping[str, Any]) -> Child | None:
    """The child that an m.space.child event names, as it is stored or as another server tells it; None if it names
    none: without a list of servers in `via` the room is no child."""
    content, sender, ts = event.get("content"), event.get("sender"), event.get("origin_server_ts")
    if not is_room_id(room_id) or not isinstance(content, Mapping) or not isinstance(sender, str):
        return None
    via = content.get("via")
    if not isinstance(via, list) or type(ts) is not int:
        return None
    servers = tuple(server for server in via[:MAXIMUM_VIA] if is_server_name(server))
    if not servers:
        return None
    stripped = {"type": CHILD, "state_key": room_id, "sender": sender, "content": content, "origin_server_ts": ts}
    return Child(room_id, servers, content.get("suggested") is True, _order(content.get("order")), ts, stripped)


def in_order(children: Iterable[Child]) -> list[Child]:
    """Those with a valid `order` first, by it; then by the time of their events, then by room id."""
    return sorted(
        children,
        key=lambda child: (child.order is None, child.order or "", child.origin_server_ts, child.room_id),
    )


def _order(order: object) -> str | None:
    if not isinstance(order, str) or not 0 < len(order) <= MAXIMUM_ORDER_LENGTH:
        return None
    return order if all(" " <= character <= "~" for character in order) else None
