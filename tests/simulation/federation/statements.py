"""All statements that a simulated server is asked, with what answers them."""

from collections.abc import Callable
from typing import Any, Final

from hs_common.storage.queries import Row
from tests.simulation.federation.master_reads import MASTER
from tests.simulation.federation.sender_reads import SENDER
from tests.simulation.federation.worker_reads import WORKER
from tests.simulation.queries import ANSWERERS

Answerer = Callable[[Any, Any], list[Row]]
STATEMENTS: Final[dict[str, Answerer]] = {**ANSWERERS, **MASTER, **WORKER, **SENDER}
