"""Puts together what clients are told of other servers."""

from collections.abc import Callable
from dataclasses import dataclass

from hs_common.federation.client import FederationClient
from hs_workers.client.remote.asking import Asking
from hs_workers.client.remote.directories import RemoteDirectories
from hs_workers.client.remote.profiles import RemoteProfiles
from hs_workers.client.remote.rooms import RemoteRooms


@dataclass(frozen=True, slots=True)
class RemoteReads:
    """What asks other servers and keeps what they said."""

    directories: RemoteDirectories
    profiles: RemoteProfiles
    rooms: RemoteRooms


def make_remote_reads(federation: FederationClient, server_name: str, seconds: Callable[[], float]) -> RemoteReads:
    """`seconds` is a clock that never goes back."""
    asking = Asking(federation)
    return RemoteReads(
        RemoteDirectories(asking, seconds),
        RemoteProfiles(asking, seconds),
        RemoteRooms(asking, server_name, seconds),
    )
