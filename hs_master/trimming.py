"""When tables that grow with each change of a user are cut to their limits: at one position of many.

Looking for what is too much at each change would cost more than the change does. Knows no table.
"""

from typing import Final

TRIMMED_ONE_IN: Final = 64
"""Changes. So many more rows than its limit has a user at most, or some times that if chance will have it."""
_SPREAD: Final = 0x9E3779B97F4A7C15


def is_trimmed_at(pos: int) -> bool:
    """Whether tables are cut at a position: at one of so many, in whatever steps positions come."""
    return (pos * _SPREAD & 0xFFFF_FFFF_FFFF_FFFF) * TRIMMED_ONE_IN < 1 << 64
