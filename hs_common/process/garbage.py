"""Python's garbage collector, set for a server: what lives as long as the process is never looked at again, and new
objects are looked at in larger portions.

Nearly all that a request makes is freed by reference counts; the collector only finds cycles. At its default it runs
each 700 objects and, now and then, over everything: on an initial sync of 100 rooms that was a quarter of the time
(`./viaduct bench initial-sync`). The price is some memory, as cycles wait longer.
"""

import ctypes
import gc
from contextlib import suppress
from typing import Final

# Young objects until a look at them, looks until one at the middle-aged, those until one at all.
THRESHOLDS: Final = (50_000, 20, 100)


def settle() -> None:
    """To be called once when a process has made all that it keeps."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    with suppress(OSError, AttributeError):  # what loading left over goes back to the system, where glibc is used
        ctypes.CDLL(None).malloc_trim(0)
