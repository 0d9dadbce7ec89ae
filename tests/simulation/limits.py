"""The limits of memory and batches, so small that a world meets them: what is dropped has to be read again."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Final
from unittest import mock

from hs_common.replication import follower
from hs_master import step
from hs_master.pipeline import intake
from hs_master.rooms import head, needs

SMALL: Final[tuple[tuple[ModuleType, str, int], ...]] = (
    (step, "MAXIMUM_HEADS", 2),
    (needs, "MAXIMUM_KNOWN_EVENTS", 8),
    (head, "MAXIMUM_HELD_STATE", 12),
    (intake, "MAXIMUM_BATCH", 4),
    (intake, "MAXIMUM_OF_A_QUEUE", 2),
    (follower, "PAGE_ENTRIES", 5),
    (follower, "COLD_ENTRIES", 20),
)


@contextmanager
def small() -> Iterator[None]:
    """Within it the limits are small."""
    with ExitStack() as stack:
        for module, name, value in SMALL:
            stack.enter_context(mock.patch.object(module, name, value))
        yield
