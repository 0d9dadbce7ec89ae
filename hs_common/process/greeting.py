"""The three lines that `viaduct up` says once the server answers: where it listens, the first account, the data."""

import json
import os
import shlex
import threading
import time
from collections.abc import Callable
from urllib.error import URLError
from urllib.request import urlopen

from hs_common.config import Config
from hs_common.process.data_folder import DataFolder
from hs_common.process.options import DEFAULT_DATA_FOLDER, say

_LOOK_INTERVAL_S = 0.05
_ANSWER_TIMEOUT_S = 2.0
_VERSIONS_PATH = "/_matrix/client/versions"


def base_url(config: Config) -> str:
    """Where the server is reached from this machine."""
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.listen.address, config.listen.address)
    return f"http://{f'[{address}]' if ':' in address else address}:{config.listen.port}"


class Greeting:
    """Greets once, when the server gives its first answer."""

    def __init__(self, config: Config, folder: DataFolder, out: Callable[[str], None] = say) -> None:
        self._config = config
        self._folder = folder
        self._out = out
        self._url = base_url(config)
        self.said = False
        self._before: list[Callable[[], None]] = []

    def lines(self) -> list[str]:
        """Where it listens, how to make the first account, where the data lies."""
        command = shlex.quote(os.environ.get("VIADUCT_COMMAND", "viaduct"))
        where = (
            ""
            if self._folder.path == DEFAULT_DATA_FOLDER.resolve()
            else f" --data-dir {shlex.quote(str(self._folder.path))}"
        )
        return [
            f"Viaduct serves {self._config.server.name} on {self._url} (Ctrl-C stops it).",
            f"The first account: {command} admin create-user NAME --admin{where}",
            f"All data, the config and the signing key lie in {self._folder.path}{self._database_place()}",
        ]

    def _database_place(self) -> str:
        """Where root's database really is: root's own folders cannot be entered by the user that it runs as."""
        data = self._folder.path / "postgres"
        return f", the database in {data.resolve()}" if data.is_symlink() else ""

    def before_it_greets(self, call: Callable[[], None]) -> None:
        """Call once when the server gives its first answer, before anything is said of it."""
        self._before.append(call)

    def when_it_answers(self) -> None:
        """Look for the first answer from a thread of its own, as the reactor has this one."""
        threading.Thread(target=self._watch, name="greeting", daemon=True).start()

    def look(self) -> None:
        """Greet if the server answers now and has not been greeted."""
        if self.said or not self._answers():
            return
        self.said = True
        for call in self._before:
            call()
        self._folder.note("url", self._url)
        for line in self.lines():
            self._out(line)

    def _watch(self) -> None:
        while not self.said:
            self.look()
            time.sleep(_LOOK_INTERVAL_S)

    def _answers(self) -> bool:
        try:
            with urlopen(self._url + _VERSIONS_PATH, timeout=_ANSWER_TIMEOUT_S) as response:
                return "versions" in json.load(response)
        except (URLError, OSError, ValueError):
            return False
