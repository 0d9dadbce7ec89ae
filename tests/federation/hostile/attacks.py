"""All attacks by name, in the order in which they are played."""

from collections.abc import Callable
from typing import Final

from tests.federation.hostile import answers, events, history, insistence, keys, power, wire
from tests.federation.hostile.stage import Stage

Attack = Callable[[Stage], str]
"""Plays an attack; answers what the server did, in words. Raises AssertionError where it did what it must not."""

_ALL: Final[tuple[Attack, ...]] = (
    *(events.broken_signatures, events.wrong_hashes, events.forged_senders, events.circles, events.unknown_past),
    *(events.malformed, events.banned_senders, events.denied_servers),
    *(power.state_resets, power.invented_states, power.power_tricks),
    *(history.endless_depth, history.endless_breadth, history.endless_rights, history.endless_states),
    *(wire.forged_requests, wire.large_transactions, wire.large_forgeries, wire.repeated_transactions),
    *(wire.junk_edus, wire.slow_requests, wire.slow_answers, wire.early_answers),
    *(keys.lying_keys, keys.notary_floods),
    *(answers.lying_joins, answers.endless_joins, answers.circling_media),
    insistence.insistence,
)
ATTACKS: Final[dict[str, Attack]] = {attack.__name__.replace("_", "-"): attack for attack in _ALL}
