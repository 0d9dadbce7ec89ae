"""A server's folder that stays after a run, with what the server was filled with: filling a slow one with a hundred
thousand messages takes the better part of an hour, and then it is to be asked more than once.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Filled:
    """One user's rooms, and how many messages were said in them."""

    user_id: str
    token: str
    rooms: list[str]
    said: int


class Kept:
    """One server's folder. It is on the port that it was on first, which may be part of the server's name."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.folder = folder
        self._port = folder / "port"
        self._filled = folder / "population.json"

    def port(self, new: Callable[[], int]) -> int:
        """The one that is noted, else a new one."""
        if not self._port.exists():
            self._port.write_text(str(new()))
        return int(self._port.read_text())

    def filled(self) -> Filled | None:
        """With what it is filled; None if with nothing."""
        return Filled(**json.loads(self._filled.read_text())) if self._filled.exists() else None

    def note(self, filled: Filled) -> None:
        """It is filled with this."""
        unfinished = self._filled.with_suffix(".new")
        unfinished.write_text(json.dumps(asdict(filled)))
        unfinished.replace(self._filled)
