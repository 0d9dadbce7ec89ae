"""Device lists of users of other servers: those that are kept are told, the others are asked for and kept from then on.

Rules: a list is kept of whoever shares a room with users here, from the first query on, and told while nothing is known
to be missing in it (`hs_common/storage/remote_devices.py`). A stale one is asked for anew. If its server cannot be
reached, that is among the failures, so that clients ask again, and what is kept is told all the same: who has nothing
else can write to the devices of before, and hears of it when the list is had. Where a server tells no lists, or none
that can be kept, or has many users whose lists are not here, it is asked for their keys in one request, as it is for
those who share no room; the lists of the many are then fetched by who holds their shares.

Spec: server-server API, #device-management; client-server-api/#tracking-the-device-list-for-a-user,
#post_matrixclientv3keysquery.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from twisted.internet.defer import Deferred

from hs_common.federation.failures import FederationError
from hs_common.federation.remote_keys import ToldList
from hs_common.http.egress.connection import Limits
from hs_common.matrix.identifiers import domain_of
from hs_common.storage import remote_devices
from hs_common.storage.queries import Queries
from hs_common.storage.remote_devices import NOTHING_YET, KeptList, RemoteDevice, RemoteUser
from hs_workers.client.encryption.remote_keys import KINDS, Failures, Found, RemoteKeys, failure, limits_of
from hs_workers.client.encryption.whole_lists import BEGUN_S, NotListed, WholeLists

LISTS_OF_SERVER: Final = 4
"""Whole lists asked of one server at once; of more users their keys are asked for, in one request."""
LISTS_LIMIT: Final = 40
"""Whole lists asked for one query."""

Wanted = Mapping[str, Mapping[str, Sequence[str]]]
"""Device ids by server and user; none for all."""
Observer = Callable[[str, int], None]


@dataclass(slots=True)
class _Plan:
    """What becomes of the users that are asked for: their lists are here, are asked for each, or their keys are."""

    kept: dict[str, KeptList] = field(default_factory=dict)
    whole: list[RemoteUser] = field(default_factory=list)
    later: list[RemoteUser] = field(default_factory=list)  # their keys are asked for, and their lists afterwards
    plain: dict[str, dict[str, Sequence[str]]] = field(default_factory=dict)


class RemoteLists:
    """Answers. `lists` is None where there is no way to other servers; `observe` is told of how many users lists were
    kept or asked for, only keys were asked for, and the one or the other failed."""

    def __init__(
        self,
        db: Queries,
        lists: WholeLists | None,
        keys: RemoteKeys,
        server_name: str,
        seconds: Callable[[], float],
        observe: Observer = lambda what, users: None,
    ) -> None:
        self._db = db
        self._lists = lists
        self._keys = keys
        self._server_name = server_name
        self._seconds = seconds
        self._observe = observe

    async def query(self, wanted: Wanted, timeout_ms: int | None = None) -> tuple[Found, Failures]:
        """Keys by kind and user, and the servers that failed, or did not answer within the time."""
        if self._lists is None or not wanted:
            return await self._keys.query(wanted, limits_of(timeout_ms))
        ends_at = self._seconds() + limits_of(timeout_ms).total_s
        user_ids = [user_id for users in wanted.values() for user_id in users]
        plan = self._plan(wanted, await remote_devices.users(self._db, user_ids, self._server_name), self._lists)
        await self._begin(plan, wanted, self._lists)
        limits = limits_of(timeout_ms)
        asking = [Deferred.fromCoroutine(self._whole(user, limits, self._lists)) for user in plan.whole]
        found, failures = await self._keys.query(plan.plain, limits)
        told: dict[str, ToldList | KeptList] = {**plan.kept}
        unlisted: dict[str, dict[str, Sequence[str]]] = {}
        for user, one in zip(plan.whole, asking, strict=True):
            answer, server = await one, domain_of(user.user_id)
            if isinstance(answer, ToldList):
                told[user.user_id] = answer
            elif answer is None:
                unlisted.setdefault(server, {})[user.user_id] = wanted[server][user.user_id]
            else:
                failures[server] = failure(answer)
        if unlisted:
            left_ms = int(1000 * (ends_at - self._seconds()))
            _merge(found, failures, *await self._keys.query(unlisted, limits_of(left_ms)))
        told |= await self._left_with(plan, failures)
        for user_id, one_list in told.items():
            _put(found, user_id, one_list, wanted[domain_of(user_id)][user_id])
        return found, failures

    def _plan(self, wanted: Wanted, users: Mapping[str, RemoteUser], lists: WholeLists) -> _Plan:
        plan = _Plan()
        for server, of_server in wanted.items():
            missing = []
            for user_id, device_ids in of_server.items():
                user = users.get(user_id)
                if user is not None and user.kept is not None and not user.kept.is_stale:
                    plan.kept[user_id] = user.kept
                elif user is not None and lists.is_listed(user_id):
                    missing.append(user)
                else:
                    plan.plain.setdefault(server, {})[user_id] = device_ids
            if len(missing) <= min(LISTS_OF_SERVER, LISTS_LIMIT - len(plan.whole)):
                plan.whole += missing
            else:
                plan.later += missing
        self._observe("kept", len(plan.kept))
        self._observe("asked", len(plan.whole))
        self._observe("keys", sum(map(len, plan.plain.values())) + len(plan.later))
        return plan

    async def _begin(self, plan: _Plan, wanted: Wanted, lists: WholeLists) -> None:
        """Begin the lists that are missing. Of whom somebody else has begun one just now the keys are asked for."""
        begun = await lists.begin(plan.whole, BEGUN_S)
        later = [*plan.later, *(user for user in plan.whole if user.user_id not in begun)]
        plan.whole = list(begun.values())
        plan.later = list((await lists.begin(plan.later, 0.0)).values())
        for user in later:
            server = domain_of(user.user_id)
            plan.plain.setdefault(server, {})[user.user_id] = wanted[server][user.user_id]

    async def _whole(self, user: RemoteUser, limits: Limits, lists: WholeLists) -> ToldList | str | None:
        """The list; None where keys have to be asked for; or why there is neither."""
        try:
            return await lists.ask(user, limits)
        except NotListed:
            return None
        except FederationError as error:
            return error.for_client().error

    async def _left_with(self, plan: _Plan, failures: Failures) -> dict[str, KeptList]:
        """What is kept of users whose servers could not be reached. Whoever gets it is told when there is more."""
        failed = [user for user in (*plan.whole, *plan.later) if domain_of(user.user_id) in failures]
        if failed:
            self._observe("failed", len(failed))
            await remote_devices.asked_in_vain(self._db, [user.user_id for user in failed])
        kept = {user.user_id: user.kept for user in failed if user.kept is not None}
        return {user_id: one for user_id, one in kept.items() if one.stream_id != NOTHING_YET}


def _merge(found: Found, failures: Failures, more: Found, failed: Failures) -> None:
    for kind in KINDS:
        found[kind].update(more[kind])
    failures.update(failed)


def _put(found: Found, user_id: str, told: ToldList | KeptList, device_ids: Sequence[str]) -> None:
    """A list in the form of an answer."""
    found["device_keys"][user_id] = {
        device_id: _device(device, device.keys)
        for device_id, device in told.devices.items()
        if device.keys is not None and (not device_ids or device_id in device_ids)
    }
    for usage, key in told.keys.items():
        found[f"{usage}_keys"][user_id] = orjson.loads(key)


def _device(device: RemoteDevice, keys: str) -> Any:
    """A device's keys as their server told them, with its name."""
    if device.display_name is None:
        return orjson.Fragment(keys)
    unsigned = orjson.dumps({"device_display_name": device.display_name}).decode()
    return orjson.Fragment(f'{keys[:-1]},"unsigned":{unsigned}}}')
