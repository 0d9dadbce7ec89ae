"""Which members a device has been sent, so that lazy loading need not send them with each message. Memory only.

What was sent is known for a token, not for a device: an answer that got lost is asked for again with the older token,
and then repeats what it had. The token is the one that the client asks with: where a poll goes on waiting because what
happened is nothing to it, nobody has seen the tokens in between. Whoever is not known here is sent: another worker, or
one that was restarted, tells members again. Bounded by devices, and by members of a device.

Spec: client-server API, #lazy-loading-room-members.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from hs_common.bounded import Bounded

MAXIMUM_DEVICES: Final = 5_000  # of one worker, those that synced last
MAXIMUM_MEMBERS: Final = 2_000  # of one device; beyond, all is forgotten and sent again: some hundred KiB
KEPT_TOKENS: Final = 2  # the answer given last, and the one before it, which a client may still ask from

# (room, user) → id of the membership event.
Members = Mapping[tuple[str, str], str]
_Device = tuple[str, str | None]


class MembersSent:
    """What devices were sent."""

    def __init__(self) -> None:
        self._devices = Bounded[_Device, OrderedDict[str, Members]](MAXIMUM_DEVICES)

    def known(self, user_id: str, device_id: str | None, since: str | None) -> Members:
        """What the device has that asks with `since`."""
        tokens = self._devices.get((user_id, device_id))
        return {} if tokens is None or since is None else tokens.get(since, {})

    def sent(self, user_id: str, device_id: str | None, since: str | None, next_batch: str, members: Members) -> None:
        """The device was answered; with `next_batch` it will have `members` besides what it had."""
        device = (user_id, device_id)
        known = self.known(user_id, device_id, since)
        tokens = self._devices.setdefault(device, OrderedDict())
        self._devices.move_to_end(device)
        if members:
            known = {**known, **members}
        tokens[next_batch] = known if len(known) <= MAXIMUM_MEMBERS else {}
        tokens.move_to_end(next_batch)
        for token in [token for token in tokens if token not in (since, next_batch)][
            : max(0, len(tokens) - KEPT_TOKENS)
        ]:
            del tokens[token]

    def forget(self) -> None:
        """The log began anew."""
        self._devices.clear()
