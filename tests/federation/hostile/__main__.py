"""Plays the hostile server at full size and prints what each attack cost.

usage: python -m tests.federation.hostile [--requests N] [--all-in-one] [ATTACK ...]      ATTACK: a name of the table
"""

import argparse
import sys
import traceback
from typing import Final

from tests.federation.hostile.attacks import ATTACKS, Attack
from tests.federation.hostile.costs import Cost
from tests.federation.hostile.stage import Stage, stage

REQUESTS: Final = 100
_HEAD: Final = "| attack | what the server did | requests | ours, ms | attacker's, ms | memory grown, MiB |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.federation.hostile")
    parser.add_argument("--requests", type=int, default=REQUESTS, help="of each attack, at most")
    parser.add_argument("--all-in-one", action="store_true", help="against a server in one process")
    parser.add_argument("attacks", nargs="*", metavar="ATTACK")
    options = parser.parse_args()
    chosen = {name: ATTACKS[name] for name in options.attacks or ATTACKS}
    failed = 0
    _say(_HEAD)
    _say("|---|---|---:|---:|---:|---:|")
    with stage("", split=not options.all_in_one, count=options.requests, is_measured=True) as played:
        played.costs.learn_idle()
        for name, attack in chosen.items():
            failed += not _play(name, attack, played)
    return 1 if failed else 0


def _play(name: str, attack: Attack, played: Stage) -> bool:
    try:
        said = attack(played)
    except Exception:
        traceback.print_exc()
        _say(f"| {name} | **FAILED** | | | | |")
        return False
    cost = played.costs.last
    _say(f"| {name} | {said} | {_columns(cost)} |")
    return True


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _columns(cost: Cost | None) -> str:
    if cost is None:
        return "| | |"
    grown = f"{cost.grown_mib:.0f} ({cost.grown} to {cost.peak_mib:.0f})"
    return f"{cost.requests} | {cost.ours_ms:.2f} | {cost.theirs_ms:.2f} | {grown}"


sys.exit(main())
