"""One seed is one world, whatever Python makes of its hashes."""

import os
import subprocess
import sys

import pytest

_PROGRAM = """
from tests.simulation.seeds import run_seeds
print(*run_seeds((3, 8, 19)).fingerprints)
"""


def fingerprints(hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", _PROGRAM], env=environment, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_same_seed_is_the_same_world(hash_seed: str) -> None:
    assert fingerprints("0") == fingerprints(hash_seed)
    assert len(set(fingerprints("0").split())) == 3
