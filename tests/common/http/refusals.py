"""How a call was refused, for tests that expect some to be and some not."""

from collections.abc import Callable

from hs_common.matrix.errors import MatrixError


def refusal(call: Callable[[], object]) -> MatrixError | None:
    """The MatrixError that the call raises; None if it raises nothing."""
    try:
        call()
    except MatrixError as error:
        return error
    return None
