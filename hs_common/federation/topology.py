"""Events in an order in which each comes after those it cites, and in pieces that fit into one call. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from hs_common.matrix.received_pdu import ReceivedPdu

CALL_EVENTS: Final = 200
CALL_BYTES: Final = 1024 * 1024
"""Of one call to the master: what is larger would hold up everybody else's."""

T = TypeVar("T")


def cited_first(events: Iterable[ReceivedPdu], *, prev_events: bool = True) -> list[ReceivedPdu]:
    """Each event after those by which it is judged and (unless they do not matter) its prev events; see `in_order`."""
    by_id = {event.event_id: event for event in events}
    cited = {
        event_id: (*one.event.judged_by_ids, *(one.event.prev_event_ids if prev_events else ()))
        for event_id, one in by_id.items()
    }
    return [by_id[event_id] for event_id in in_order(cited)]


def in_order(cited: Mapping[str, Iterable[str]]) -> list[str]:
    """The ids so that each comes after those it cites, as far as they are among them; else in the order given. Of
    those that cite each other in a circle, which hashes make impossible but ids of the first two room versions do not,
    none is in the answer."""
    open_citations: dict[str, int] = {}
    citing: dict[str, list[str]] = {}
    for event_id, others in cited.items():
        here = {other for other in others if other in cited}
        open_citations[event_id] = len(here)
        for other in here:
            citing.setdefault(other, []).append(event_id)
    ready = [event_id for event_id, number in open_citations.items() if number == 0]
    for event_id in ready:  # grows meanwhile
        for other in citing.get(event_id, ()):
            open_citations[other] -= 1
            if open_citations[other] == 0:
                ready.append(other)
    return ready


def pieces(events: Sequence[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """The events in pieces of at most so many, and so many bytes unless one alone is larger."""
    piece: list[T] = []
    weight = 0
    for event in events:
        if piece and (len(piece) >= CALL_EVENTS or weight + size(event) > CALL_BYTES):
            yield piece
            piece, weight = [], 0
        piece.append(event)
        weight += size(event)
    if piece:
        yield piece
