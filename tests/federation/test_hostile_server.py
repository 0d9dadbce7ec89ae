"""A hostile server, with few requests of each attack: `python -m tests.federation.hostile` plays it at full size."""

import pytest

from tests.federation.hostile.attacks import ATTACKS
from tests.federation.hostile.stage import Stage


@pytest.mark.parametrize("name", ATTACKS)
def test_it_is_refused(hostile_stage: Stage, name: str) -> None:
    assert ATTACKS[name](hostile_stage)
