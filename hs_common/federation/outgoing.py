"""Puts together what acts through other servers for users of this one."""

from collections.abc import Callable
from dataclasses import dataclass

from hs_common.federation.asking_policy import RemotePolicyServers
from hs_common.federation.backfilling import Backfilling
from hs_common.federation.fetching import Fetching
from hs_common.federation.interfaces import Remote
from hs_common.federation.joining import RemoteJoins
from hs_common.federation.outside_rooms import OutsideRooms
from hs_common.federation.policy_servers import PolicyServer
from hs_common.federation.remote_invites import RemoteInvites
from hs_common.federation.remote_memberships import RemoteMemberships
from hs_common.federation.signatures import Checker, SignatureChecks
from hs_common.federation.templates import Templates
from hs_common.matrix.signing import SigningKey
from hs_common.replication.clock import Clock
from hs_common.replication.link_interface import Link
from hs_common.storage.queries import Queries


@dataclass(frozen=True, slots=True)
class OtherServers:
    """The way to other servers, and who we are to them. `quick` is for what a client waits for, `now_ms` the time of
    day, `random(n)` gives n unpredictable bytes, `uuid` random ones, `on_told` is told how many events
    joins were told."""

    remote: Remote
    quick: Remote
    keys: Checker
    server_name: str
    key: SigningKey
    clock: Clock
    now_ms: Callable[[], int]
    random: Callable[[int], bytes]
    uuid: Callable[[], str]
    on_told: Callable[[int], None] = lambda events: None


class Outgoing:
    """The parts."""

    def __init__(self, db: Queries, master: Link, others: OtherServers) -> None:
        remote, name = others.remote, others.server_name
        self.others = others
        self.checks = SignatureChecks(others.keys)
        self.fetching = Fetching(remote, self.checks)
        self.invites = RemoteInvites(db, remote, self.checks, name)
        self.policy_server: PolicyServer = RemotePolicyServers(others.quick)
        templates = Templates(remote, name, others.key, others.now_ms, others.random)
        self.joins = RemoteJoins(
            *(db, master, remote, templates, self.checks, self.fetching, others.clock, others.uuid, others.on_told)
        )
        memberships = RemoteMemberships(master, remote, templates, self.fetching)
        self.backfilling = Backfilling(
            db, master, Fetching(others.quick, self.checks), name, others.clock.seconds, others.now_ms
        )
        self.rooms = OutsideRooms(db, self.joins, memberships, name)
