"""Which servers this one talks with, and where the operator says that they are. Pure."""

from collections.abc import Iterable

from hs_common.config.federation import Federation
from hs_common.matrix.identifiers import is_server_name, parse_server_name


class Domains:
    """The config's view of other servers."""

    def __init__(self, config: Federation, server_name: str) -> None:
        self._enabled = config.enabled
        self._allow = _Patterns(config.allow)
        self._deny = _Patterns(config.deny)
        self._server_name = server_name

    def may_talk(self, server: str) -> bool:
        """Whether to ask this server, and to answer it. Never with oneself: that is always a mistake."""
        if not self._enabled or server == self._server_name or self._deny.match(server):
            return False
        return self._allow.is_empty or self._allow.match(server)


class _Patterns:
    """Names of servers and `*.` of their domains, by host: a port makes no other owner."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._exact = {pattern.lower() for pattern in patterns if not pattern.startswith("*.")}
        self._suffixes = tuple(pattern[1:].lower() for pattern in patterns if pattern.startswith("*."))

    @property
    def is_empty(self) -> bool:
        return not (self._exact or self._suffixes)

    def match(self, server: str) -> bool:
        if not is_server_name(server):
            return False
        host = parse_server_name(server)[0].lower()
        return host in self._exact or server.lower() in self._exact or host.endswith(self._suffixes or ("\0",))
