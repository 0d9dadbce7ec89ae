"""Runs many worlds and says how many failed, how, and how fast it went.

usage: python -m tests.simulation SEEDS [--first N] [--off RULE]     RULE: see `rules.py`; may be given several times
"""

import sys

from tests.simulation.command import main
from tests.simulation.rules import RULES
from tests.simulation.seeds import run_seeds

sys.exit(main("python -m tests.simulation", run_seeds, RULES))
