"""Station: the words of an event, for searching: a row in the transaction that appends it.

Whether the room is encrypted is looked at when somebody searches: then its rows are passed over.
"""

from hs_common.matrix.event import Event
from hs_common.matrix.searched_texts import searched_text
from hs_master import found_tables
from hs_master.step import Step


def write_search(step: Step, event: Event, pos: int) -> None:
    """Note by which words an event of a timeline is found; `pos` is that of its log item."""
    found = searched_text(event.type, event.state_key, event.content)
    if found is not None:
        step.row(
            found_tables.SEARCH,
            event.event_id,
            event.room_id,
            event.sender,
            found.key,
            event.origin_server_ts,
            pos,
            found.text,
        )
