"""Deciding on pushers: setting and removing them. They also go with their device and with the account.

Spec: client-server-api/#post_matrixclientv3pushersset.
"""

from typing import Final, NamedTuple

import orjson

from hs_common.matrix.errors import invalid_param, unknown_token
from hs_common.process.shares import shard_of
from hs_common.replication.calls import Answer, RemovePusher, SetPusher
from hs_common.replication.items import PushersItem
from hs_common.storage import master_reads, pushers
from hs_common.storage.pushers import Pusher
from hs_common.storage.queries import Queries, Row
from hs_master import tables
from hs_master.decisions.sessions import DEACTIVATED, user_queue
from hs_master.step import Step

# Of one user. A device has one or two; each costs a request for each notification.
MAXIMUM_PUSHERS: Final = 100


class _Known(NamedTuple):
    user: Row | None
    has_device: bool
    old: Pusher | None
    pushers: int


class SetPusherDecider:
    def queue(self, call: SetPusher) -> str:
        return user_queue(call.user_id)

    async def load(self, call: SetPusher, db: Queries) -> _Known:
        device_id = call.device_id
        return _Known(
            await master_reads.user(db, call.user_id),
            device_id is None or await master_reads.device(db, call.user_id, device_id) is not None,
            await pushers.pusher(db, call.user_id, call.app_id, call.pushkey),
            await pushers.count_pushers(db, call.user_id),
        )

    def decide(self, call: SetPusher, step: Step, loaded: _Known) -> Answer:
        if loaded.user is None or loaded.user[DEACTIVATED] or not loaded.has_device:
            raise unknown_token()  # the session ended while the request was under way
        if loaded.old is None and loaded.pushers >= MAXIMUM_PUSHERS:
            raise invalid_param(f"A user has at most {MAXIMUM_PUSHERS} pushers; delete one")
        pos = step.item(PushersItem(call.user_id, None if call.append else (call.app_id, call.pushkey)))
        if not call.append:
            step.row(tables.PUSHER_TAKE, call.user_id, call.app_id, call.pushkey)
        if loaded.old is None or _wanted(call) != _as_set(loaded.old):
            self._write(call, step, pos, loaded.old)
        return Answer(pos=pos)

    def _write(self, call: SetPusher, step: Step, pos: int, old: Pusher | None) -> None:
        key = (call.user_id, call.app_id, call.pushkey)
        step.upsert(
            tables.PUSHER,
            key,
            pos if old is None else old.pusher_id,
            *key,
            call.kind,
            call.device_id,
            shard_of(call.user_id),
            call.app_display_name,
            call.device_display_name,
            call.profile_tag,
            call.lang,
            call.data.decode(),
            step.now_ms,
            pos,
        )


class RemovePusherDecider:
    def queue(self, call: RemovePusher) -> str:
        return user_queue(call.user_id)

    async def load(self, call: RemovePusher, db: Queries) -> Pusher | None:
        return await pushers.pusher(db, call.user_id, call.app_id, call.pushkey)

    def decide(self, call: RemovePusher, step: Step, loaded: Pusher | None) -> Answer:
        if loaded is None or (call.set_ms is not None and loaded.set_ms != call.set_ms):
            return Answer(pos=step.pos)
        step.row(tables.PUSHER_DELETE, call.user_id, call.app_id, call.pushkey)
        return Answer(pos=step.item(PushersItem(call.user_id)))


def _wanted(call: SetPusher) -> tuple[object, ...]:
    names = (call.app_display_name, call.device_display_name, call.profile_tag, call.lang)
    return (call.kind, call.device_id, *names, orjson.loads(call.data))


def _as_set(old: Pusher) -> tuple[object, ...]:
    names = (old.app_display_name, old.device_display_name, old.profile_tag, old.lang)
    return (old.kind, old.device_id, *names, old.data)
