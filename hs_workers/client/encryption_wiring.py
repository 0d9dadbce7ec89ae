"""Puts the endpoints of end-to-end encryption together. The only place that knows which of their parts needs which."""

from collections.abc import Callable
from dataclasses import dataclass

from hs_common.federation.client import FederationClient
from hs_common.federation.list_keeping import ListKeeping
from hs_common.reading.claimed_keys import KeyCountHints
from hs_common.replication.link_interface import Link
from hs_workers.client.cross_signing import CrossSigning
from hs_workers.client.dehydrated_device import DehydratedDevice
from hs_workers.client.encryption.backups import Backups, TransactionalQueries
from hs_workers.client.encryption.claiming import Claiming
from hs_workers.client.encryption.cross_signing import CrossSigningKeys
from hs_workers.client.encryption.dehydrating import Dehydrating
from hs_workers.client.encryption.known_keys import KnownKeys
from hs_workers.client.encryption.messaging import Messaging
from hs_workers.client.encryption.querying import Querying
from hs_workers.client.encryption.remote_keys import RemoteKeys
from hs_workers.client.encryption.remote_lists import RemoteLists
from hs_workers.client.encryption.signing import Signing
from hs_workers.client.encryption.uploading import Uploading
from hs_workers.client.encryption.whole_lists import WholeLists
from hs_workers.client.key_backup import KeyBackup
from hs_workers.client.keys import Keys
from hs_workers.client.to_device import ToDevice
from hs_workers.client.uia import UserInteractiveAuthentication

ENDPOINT_CLASSES: tuple[type, ...] = (CrossSigning, DehydratedDevice, KeyBackup, Keys, ToDevice)
"""What processes of other roles declare to their routers."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What the endpoints use of their process. `now_ms` is the time of day, `seconds` a clock that never goes back;
    `on_lists` is told of how many users of other servers lists were kept, asked for, or neither."""

    db: TransactionalQueries
    master: Link
    uia: UserInteractiveAuthentication
    server_name: str
    now_ms: Callable[[], int]
    known_keys: KnownKeys
    seconds: Callable[[], float]
    federation: FederationClient | None = None
    on_lists: Callable[[str, int], None] = lambda what, users: None


def encryption_endpoints(outside: Outside) -> list[object]:
    """One instance of each class, for the router."""
    db, master, name = outside.db, outside.master, outside.server_name
    hints = KeyCountHints(master)
    remote = RemoteKeys(outside.federation)
    lists = _remote_lists(outside, remote)
    uploading = Uploading(db, master, hints)
    return [
        CrossSigning(CrossSigningKeys(db, master), Signing(db, master, name, lists), outside.uia),
        DehydratedDevice(Dehydrating(db, master, uploading)),
        KeyBackup(Backups(db, outside.now_ms)),
        Keys(db, uploading, Querying(outside.known_keys, name, lists), Claiming(db, hints, name, remote)),
        ToDevice(Messaging(master)),
    ]


def _remote_lists(outside: Outside, keys: RemoteKeys) -> RemoteLists:
    db, federation, name, seconds = outside.db, outside.federation, outside.server_name, outside.seconds
    keeping = ListKeeping(db, outside.master)
    whole = None if federation is None else WholeLists(db, keeping, federation, name, seconds)
    return RemoteLists(db, whole, keys, name, seconds, outside.on_lists)
