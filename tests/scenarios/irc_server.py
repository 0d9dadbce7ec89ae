"""A small IRC server for plays, on the one of the package `irc`: `python -m tests.scenarios.irc_server PORT`.

It also answers the question for capabilities, for which today's clients wait.
"""

import sys

from irc.server import IRCClient, IRCServer  # type: ignore[import-untyped]


class Client(IRCClient):  # type: ignore[misc]
    """One connection."""

    def handle_cap(self, params: str) -> str | None:
        """None that anybody asks for are offered."""
        return f":{self.server.servername} CAP * LS :none" if params.startswith("LS") else None

    def handle_mode(self, params: str) -> str | None:
        """There are none, but asking is no mistake."""
        name = params.split()[0] if params else ""
        return f":{self.server.servername} 324 {self.nick} {name} +" if name.startswith("#") else None


if __name__ == "__main__":
    IRCServer(("127.0.0.1", int(sys.argv[1])), Client).serve_forever()
