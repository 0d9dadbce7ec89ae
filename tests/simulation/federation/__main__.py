"""Runs many worlds of servers that federate, and says how many failed, how, and how fast it went.

usage: python -m tests.simulation.federation SEEDS [--first N] [--off RULE]
"""

import sys

from tests.simulation.command import main
from tests.simulation.federation.rules import RULES
from tests.simulation.federation.seeds import run_seeds

sys.exit(main("python -m tests.simulation.federation", run_seeds, RULES))
