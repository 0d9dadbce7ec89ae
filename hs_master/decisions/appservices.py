"""Deciding on application services: registering, changing, pausing, removing them.

Spec: application-service-api/#registration.
"""

from typing import Any

from hs_common.matrix.appservice import Registration, Service, decode_registration, encode_registration
from hs_common.matrix.errors import invalid_param, not_found
from hs_common.replication.calls import Answer, Call, PauseAppService, RemoveAppService, SetAppService, WakeAppService
from hs_common.replication.items import AppServiceItem
from hs_common.storage import appservices, master_reads
from hs_common.storage.appservices import Registered
from hs_common.storage.queries import Queries
from hs_master import tables
from hs_master.decisions.accounts import Account
from hs_master.jobs.kinds import GhostsJob, write_job
from hs_master.step import Step

QUEUE = "application services"


def _write(step: Step, row: Registered, server_name: str) -> Answer:
    """The row, the item, and the services as everything after this is decided on."""
    service_id = row.registration.id
    pos = step.item(AppServiceItem(service_id))
    step.upsert(
        tables.APPSERVICE,
        (service_id,),
        service_id,
        encode_registration(row.registration).decode(),
        row.as_token_hash,
        row.hs_token,
        row.source,
        row.paused,
        row.made_pos or pos,
        pos,
    )
    service = Service(row.registration, server_name, paused=row.paused)
    step.new_services = step.services.replaced(service_id, service)
    return Answer(pos=pos)


class _Decider:
    """What the deciders of this file have in common: one queue, so that each sees what the one before did."""

    def __init__(self, server_name: str) -> None:
        self._server_name = server_name

    def queue(self, call: Call) -> str:
        return QUEUE

    async def load(self, call: Any, db: Queries) -> Registered | None:
        found = [row for row in await appservices.registered(db) if row.registration.id == call.service_id]
        return found[0] if found else None


class SetAppServiceDecider(_Decider):
    async def load(self, call: SetAppService, db: Queries) -> Any:
        registration = decode_registration(call.registration)
        sender = Service(registration, self._server_name).sender
        return registration, await appservices.registered(db), await master_reads.user(db, sender)

    def decide(self, call: SetAppService, step: Step, loaded: Any) -> Answer:
        registration, rows, user = loaded
        self._check_unique(call, registration, rows)
        if user is None:
            account = Account.new(step.now_ms, appservice_id=registration.id)
            account.write(step, f"@{registration.sender_localpart}:{self._server_name}", created=True)
        old = next((row for row in rows if row.registration.id == registration.id), None)
        row = Registered(
            registration,
            call.as_token_hash,
            call.hs_token,
            call.source,
            old is not None and old.paused,
            0 if old is None else old.made_pos,
        )
        return _write(step, row, self._server_name)

    @staticmethod
    def _check_unique(call: SetAppService, registration: Registration, rows: list[Registered]) -> None:
        for row in rows:
            if row.registration.id == registration.id:
                continue
            if row.as_token_hash == call.as_token_hash:
                raise invalid_param(f"The application service {row.registration.id} has the same `as_token`")
            if row.registration.sender_localpart == registration.sender_localpart:
                raise invalid_param(f"The application service {row.registration.id} has the same `sender_localpart`")


class PauseAppServiceDecider(_Decider):
    def decide(self, call: PauseAppService, step: Step, loaded: Registered | None) -> Answer:
        row = _known(loaded, call.service_id)
        paused = Registered(row.registration, row.as_token_hash, row.hs_token, row.source, call.paused, row.made_pos)
        return _write(step, paused, self._server_name)


class WakeAppServiceDecider(_Decider):
    def decide(self, call: WakeAppService, step: Step, loaded: Registered | None) -> Answer:
        _known(loaded, call.service_id)
        return Answer(pos=step.item(AppServiceItem(call.service_id, woken=True)))


class RemoveAppServiceDecider(_Decider):
    def decide(self, call: RemoveAppService, step: Step, loaded: Registered | None) -> Answer:
        _known(loaded, call.service_id)
        pos = step.item(AppServiceItem(call.service_id, removed=True))
        step.row(tables.APPSERVICE_DELETE, call.service_id)
        step.row(tables.AS_ROOM_END, call.service_id, pos)
        step.new_services = step.services.replaced(call.service_id, None)
        if call.deactivate_users:
            write_job(step, "", GhostsJob(call.service_id))
        return Answer(pos=pos)


def _known(row: Registered | None, service_id: str) -> Registered:
    if row is None:
        raise not_found(f"There is no application service {service_id}")
    return row
