"""Puts together what other servers send: transactions, joins, knocks, departures, invitations."""

from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

from hs_common.appservices.service_queries import ServiceQueries
from hs_common.federation.accounts import Accounts
from hs_common.federation.completing import Completing
from hs_common.federation.device_lists import DUTY as DEVICES_DUTY
from hs_common.federation.device_lists import DeviceLists
from hs_common.federation.invitees import Invitees
from hs_common.federation.outgoing import Outgoing
from hs_common.federation.policy_checks import PolicyChecks
from hs_common.federation.policy_servers import PolicyServers
from hs_common.federation.restricted_rooms import RestrictedRooms
from hs_common.federation.sending import Sending
from hs_common.federation.sweeping import AbandonedJoins
from hs_common.process.ongoing import Ongoing
from hs_common.process.shares import ShareKeeper
from hs_common.replication.clock import Clock
from hs_common.replication.link_interface import Link
from hs_common.replication.subscription import Subscription
from hs_common.storage.queries import Queries
from hs_workers.federation_inbound.device_updates import DeviceUpdates
from hs_workers.federation_inbound.edus import EduReception
from hs_workers.federation_inbound.handshakes import Handshakes, Templates
from hs_workers.federation_inbound.invitations import Invitations
from hs_workers.federation_inbound.invites_v1 import InvitesV1
from hs_workers.federation_inbound.invites_v2 import InvitesV2
from hs_workers.federation_inbound.joins_v1 import JoinsV1
from hs_workers.federation_inbound.joins_v2 import JoinsV2
from hs_workers.federation_inbound.knocks import Knocks
from hs_workers.federation_inbound.leaving_v1 import LeavingV1
from hs_workers.federation_inbound.leaving_v2 import LeavingV2
from hs_workers.federation_inbound.out_of_band import OutOfBandMemberships
from hs_workers.federation_inbound.remote_presence import RemotePresences
from hs_workers.federation_inbound.remote_receipts import RemoteReceipts
from hs_workers.federation_inbound.room_admission import RoomAdmission
from hs_workers.federation_inbound.room_answers import RoomAnswers
from hs_workers.federation_inbound.room_queues import DUTY, RoomQueues
from hs_workers.federation_inbound.staging import Staging
from hs_workers.federation_inbound.third_party_invite import ThirdPartyInvite
from hs_workers.federation_inbound.third_party_invites import ThirdPartyInvites
from hs_workers.federation_inbound.transaction_intake import TransactionIntake
from hs_workers.federation_inbound.transactions import Transactions

WRITING_CLASSES: tuple[type, ...] = (
    *(InvitesV1, InvitesV2, JoinsV1, JoinsV2, Knocks, LeavingV1, LeavingV2, ThirdPartyInvite, Transactions),
)


@dataclass(frozen=True, slots=True)
class WritingOutside:
    """What the parts use of their process. `me` is the process' id; `colleagues` are the ids of those of its role,
    `is_valid_key(url, key)` asks an identity server about a key of its."""

    db: Queries
    master: Link
    outgoing: Outgoing
    clock: Clock
    background: Callable[[str, Coroutine[Any, Any, object]], None]
    me: str
    colleagues: Callable[[], Collection[str]]
    on_fetch: Callable[[str], None]
    accounts: Accounts
    is_valid_key: Callable[[str, str], Awaitable[bool]]
    queries: ServiceQueries | None = None


class WritingParts:
    """The endpoints, and the work behind them, which `start` begins and `stop` ends."""

    def __init__(self, outside: WritingOutside) -> None:
        db, master, outgoing, clock = outside.db, outside.master, outside.outgoing, outside.clock
        name, checks, fetching = outgoing.others.server_name, outgoing.checks, outgoing.fetching
        self._outside = outside
        self._admission = RoomAdmission(db, name, clock.seconds)
        self._completing = Completing(db, master, fetching, clock.seconds, name, outside.on_fetch)
        self._policy_servers = PolicyServers(db, outgoing.policy_server, clock.seconds)
        self._policies = PolicyChecks(self._policy_servers, outgoing.policy_server)
        self._out_of_band = OutOfBandMemberships(db, master, checks, fetching, name)
        self.staging = Staging(db, clock, outside.background)
        self.queues = RoomQueues(
            db,
            self.staging,
            self._admission,
            self._completing,
            self._policies,
            clock,
            name,
            self._is_alone,
            outside.background,
            self._admission.forget,
            self._out_of_band,
            outside.accounts,
        )
        self.lists = DeviceLists(db, master, outgoing.others.remote, clock, name)
        self._receipts = RemoteReceipts(db, master, clock, outside.background)
        presences = RemotePresences(db, master, clock, outside.background, name)
        devices = DeviceUpdates(db, master, self.lists, name)
        self._abandoned = AbandonedJoins(db, master, clock)
        self._edus = EduReception(db, master, self._admission, self._receipts, presences, devices, name)
        self._looking = (
            Ongoing(clock, "looking for abandoned joins", self._abandoned.look_on),
            Ongoing(clock, "looking for receipts that wait", self._receipts.look_on),
        )
        self._keepers = [
            self._keeper(DUTY),
            self._keeper(DEVICES_DUTY),
        ]

    def endpoints(self) -> Iterator[object]:
        """One instance of each of `WRITING_CLASSES`."""
        db, master, outgoing = self._outside.db, self._outside.master, self._outside.outgoing
        name, key, checks = outgoing.others.server_name, outgoing.others.key, outgoing.checks
        templates = Templates(db, master, self._admission, RestrictedRooms(db, name), name)
        handshakes = Handshakes(db, self._admission, templates, checks, self._policies, self._completing, name, key)
        invitees = Invitees(db, name, self._outside.queries)
        invitations = Invitations(db, master, self._admission, invitees, checks, outgoing.fetching, name, key)
        answers = RoomAnswers(db, name)
        joins = JoinsV2(handshakes, answers, name)
        intake = TransactionIntake(
            db,
            self.staging,
            self._admission,
            checks,
            self._edus,
            self._out_of_band,
            self.queues,
            self._outside.accounts,
            self._outside.clock.seconds,
        )
        yield from (InvitesV1(invitations), InvitesV2(invitations), JoinsV1(templates, joins), joins)
        yield from (Knocks(templates, handshakes, answers), LeavingV1(templates, handshakes), LeavingV2(handshakes))
        sending = Sending(db, master, self._policy_servers, outgoing.invites)
        third_party = ThirdPartyInvites(
            db, sending, outgoing.others.remote, self._admission, name, self._outside.is_valid_key
        )
        yield from (ThirdPartyInvite(third_party), Transactions(intake))

    def subscription(self) -> Subscription:
        """What the parts want to hear of the log: of access control lists."""
        return self._admission.subscription()

    def policy_subscription(self) -> Subscription:
        """And of policy servers."""
        return self._policy_servers.subscription()

    async def start(self) -> None:
        """Take shares and work."""
        for keeper in self._keepers:
            keeper.start()
        self.queues.start(self._keepers[0])
        for looking in self._looking:
            looking.start()
        self.lists.start(self._keepers[1])

    async def stop(self) -> None:
        """Start nothing more, and let others go on."""
        self.queues.stop()
        for looking in self._looking:
            looking.stop()
        self.lists.stop()
        for keeper in self._keepers:
            await keeper.stop()

    def _keeper(self, duty: str) -> ShareKeeper:
        outside = self._outside

        async def give_up(shards: Collection[int]) -> None:
            """What is under way for a room is harmless when another does it too."""

        return ShareKeeper(outside.db, outside.clock, duty, outside.me, outside.colleagues, lambda: None, give_up)

    def _is_alone(self) -> bool:
        return not set(self._outside.colleagues()) - {self._outside.me}
