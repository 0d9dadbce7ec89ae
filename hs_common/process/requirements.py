"""Prints what pyproject.toml says the project needs, one requirement a line: `requirements.py FILE run|test`.

Run by ./viaduct before anything is installed, so it uses the standard library alone.
"""

import sys
import tomllib
from pathlib import Path


def requirements(pyproject: Path, purpose: str) -> list[str]:
    """The requirements to "run" the project, or those to "test" it too."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    needed: list[str] = list(project["dependencies"])
    if purpose != "run":
        needed += project["optional-dependencies"][purpose]
    return needed


if __name__ == "__main__":
    print("\n".join(requirements(Path(sys.argv[1]), sys.argv[2])))
