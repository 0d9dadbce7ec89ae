"""Our own keys: the one that signs, those that did, and what we publish of them.

Keys that were replaced stand in the config and in a file beside the signing key, which `viaduct admin rotate-key`
writes; both are read at the start of each process.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from hs_common.matrix.server_keys import OldKey, ServerKey, own_server_keys, parse_old_key
from hs_common.matrix.signing import SigningKey, sign
from hs_common.process.signing_key import old_keys_path

FOR_EVER_MS: Final = 2**53 - 1


def read_old_keys(signing_key_file: Path, configured: Iterable[str]) -> list[OldKey]:
    """The keys that are used no more. Raises ValueError for a line that is none, OSError."""
    path = old_keys_path(signing_key_file)
    lines = [*configured, *(path.read_text(encoding="ascii").splitlines() if path.exists() else ())]
    return list({key.key.key_id: key for key in map(parse_old_key, filter(str.strip, lines))}.values())


class OwnKeys:
    """`now_ms` is the time of day; others may believe what we publish for `lifetime_ms`."""

    def __init__(
        self, server_name: str, key: SigningKey, old: Iterable[OldKey], lifetime_ms: int, now_ms: Callable[[], int]
    ) -> None:
        self.server_name = server_name
        self.key = key
        self._old = list(old)
        self._lifetime_ms = lifetime_ms
        self._now_ms = now_ms

    def published(self) -> dict[str, Any]:
        """What `/_matrix/key/v2/server` answers."""
        return own_server_keys(self.server_name, self.key, self._old, self._now_ms() + self._lifetime_ms)

    def vouch(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Another server's answer with our signature, as a notary gives it."""
        return sign(answer, self.server_name, self.key)

    def known(self) -> dict[str, ServerKey]:
        """All by key id, as the key ring has those of other servers."""
        found = {one.key.key_id: ServerKey(one.key, one.expired_ms, is_old=True) for one in self._old}
        found[self.key.key_id] = ServerKey(self.key.verify_key, FOR_EVER_MS, is_old=False)
        return found
