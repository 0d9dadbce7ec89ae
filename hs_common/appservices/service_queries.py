"""What services are asked before something of theirs is said not to exist: users and aliases, and third-party networks.

Rules: nothing is held while a service is asked, since it calls back to make what it is asked for; who asked looks at
the database again afterwards. A service that cannot be reached has nothing.

Spec: application-service-api/#querying, #third-party-networks.
"""

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

import orjson
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from hs_common.appservices.http_answer import HttpAnswer
from hs_common.appservices.http_client import ServiceClient, Unreachable
from hs_common.appservices.registry import ServiceRegistry
from hs_common.matrix.appservice import Service
from hs_common.matrix.network_instances import instance_id

QUERY_TIMEOUT_S: Final = 8.0
"""Below the 10 s in which each request ends."""

_log = Logger()


class ServiceQueries:
    """Asks services on behalf of clients."""

    def __init__(self, registry: ServiceRegistry, http: ServiceClient) -> None:
        self._registry = registry
        self._http = http

    async def user_was_made(self, user_id: str) -> bool:
        """Whether some service says that this user of its namespace exists (now)."""
        services = await self._registry.services()
        wanted = [service for service in services if service.has_user(user_id) and user_id != service.sender]
        return await self._any(wanted, f"/users/{quote(user_id, safe='')}")

    async def alias_was_made(self, alias: str) -> bool:
        """Whether some service says that this alias of its namespace exists (now)."""
        services = await self._registry.services()
        wanted = [service for service in services if service.has_alias(alias)]
        return await self._any(wanted, f"/rooms/{quote(alias, safe='')}")

    async def protocols(self) -> dict[str, Any]:
        """All third-party protocols, with instances of all services that have them."""
        services = await self._registry.services()
        names = sorted({name for service in services for name in service.registration.protocols})
        found = [(name, await self.protocol(name)) for name in names]
        return {name: protocol for name, protocol in found if protocol is not None}

    async def protocol(self, name: str) -> dict[str, Any] | None:
        """What services say of a protocol; None if no service has it."""
        merged: dict[str, Any] | None = None
        for service, answer in await self._of_protocol(name, f"/thirdparty/protocol/{quote(name, safe='')}", {}):
            if not isinstance(answer, dict):
                continue
            instances = [
                {**one, "instance_id": instance_id(service.id, str(one.get("network_id", "")))}
                for one in answer.get("instances") or ()
                if isinstance(one, dict)
            ]
            if merged is None:
                merged = {**answer, "instances": instances}
            else:
                merged["instances"] += instances
        return merged

    async def third_party(self, kind: str, protocol: str | None, fields: dict[str, str]) -> list[Any] | None:
        """Users or locations (`kind`: user, location) on a protocol, or (None) by their Matrix ids; None: no service
        has the protocol."""
        path = f"/thirdparty/{kind}" + ("" if protocol is None else f"/{quote(protocol, safe='')}")
        services = await self._registry.services()
        if protocol is not None and not any(protocol in one.registration.protocols for one in services):
            return None
        found: list[Any] = []
        for _, answer in await self._of_protocol(protocol, path, fields):
            found += answer if isinstance(answer, list) else []
        return found

    async def _of_protocol(self, name: str | None, path: str, fields: dict[str, str]) -> list[tuple[Service, Any]]:
        services = await self._registry.services()
        wanted = [one for one in services if one.registration.protocols and name in (None, *one.registration.protocols)]
        answers = await gatherResults([Deferred.fromCoroutine(self._ask(one, path, fields)) for one in wanted])
        return [
            (service, _parsed(answer))
            for service, answer in zip(wanted, answers, strict=True)
            if answer is not None and answer.is_success
        ]

    async def _any(self, services: Iterable[Service], path: str) -> bool:
        for service in services:
            answer = await self._ask(service, path, {})
            if answer is not None and answer.is_success:
                return True
        return False

    async def _ask(self, service: Service, path: str, fields: dict[str, str]) -> HttpAnswer | None:
        to = self._registry.destination(service.id)
        if to is None:
            return None
        try:
            return await self._http.ask(to, "GET", path, query=fields, timeout_s=QUERY_TIMEOUT_S)
        except Unreachable as error:
            _log.warn("{service} cannot be asked for {path}: {error}", service=service.id, path=path, error=error)
            return None


def _parsed(answer: HttpAnswer) -> Any:
    try:
        return orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return None
