"""A worker of one role does not load the others' code: it would cost each worker memory and time to start."""

import subprocess
import sys

import pytest

from hs_workers.roles import ROLES

_PRINT_LOADED = """
import sys
from hs_common.process.commands import run
import hs_workers.main
from hs_workers.roles import role
role(sys.argv[1])
print(*{name.split(".")[1] for name in sys.modules if name.startswith("hs_workers.")})
"""


@pytest.mark.parametrize("name", ROLES)
def test_a_role_loads_no_other_role(name: str) -> None:
    packages = {role.replace("-", "_") for role in ROLES}
    loaded = subprocess.run([sys.executable, "-c", _PRINT_LOADED, name], check=True, capture_output=True, text=True)
    assert packages & set(loaded.stdout.split()) == {name.replace("-", "_")}
