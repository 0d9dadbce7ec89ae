"""The role `client`: accounts, rooms and everything else that is answered at once."""

from collections.abc import Iterable
from pathlib import Path

from hs_common.email.making import make_mailer
from hs_common.process.signing_key import read_signing_key
from hs_workers.client.account_parts import Outside as AccountsOutside
from hs_workers.client.accounts.identity_servers import IdentityServers
from hs_workers.client.accounts_wiring import ENDPOINT_CLASSES as ACCOUNTS
from hs_workers.client.accounts_wiring import account_endpoints, interactive_auth
from hs_workers.client.encryption.known_keys import KnownKeys
from hs_workers.client.encryption_wiring import ENDPOINT_CLASSES as ENCRYPTION
from hs_workers.client.encryption_wiring import Outside as EncryptionOutside
from hs_workers.client.encryption_wiring import encryption_endpoints
from hs_workers.client.moderation_wiring import ENDPOINT_CLASSES as MODERATION
from hs_workers.client.moderation_wiring import moderation_endpoints
from hs_workers.client.remote.making import make_remote_reads
from hs_workers.client.rooms_wiring import ENDPOINT_CLASSES as ROOMS
from hs_workers.client.rooms_wiring import Outside as RoomsOutside
from hs_workers.client.rooms_wiring import room_endpoints
from hs_workers.client.services_wiring import ENDPOINT_CLASSES as SERVICES
from hs_workers.client.services_wiring import Outside as ServicesOutside
from hs_workers.client.services_wiring import service_endpoints
from hs_workers.roles.parts import RoleParts

ENDPOINT_CLASSES: tuple[type, ...] = (*ACCOUNTS, *ROOMS, *MODERATION, *SERVICES, *ENCRYPTION)


def make(parts: RoleParts) -> Iterable[object]:
    """Accounts, rooms and everything else that is answered at once."""
    node, services = parts.node, parts.following.app_services
    parts.following.close_while(lambda: True)  # who is locked or has logged out elsewhere is refused at once
    http, queries = parts.service_client, parts.service_queries
    remote = make_remote_reads(parts.federation.client, node.config.server.name, node.reactor.seconds)
    identity_servers = IdentityServers(
        parts.egress,
        node.config.accounts.identity_servers,
        node.config.server.name,
        read_signing_key(Path(node.config.server.signing_key_file)),
    )
    outside = AccountsOutside(
        db=node.db,
        master=parts.link,
        threads=parts.threads,
        failures=parts.limits,
        presence=parts.following.ephemeral,
        now_ms=node.outside.now_ms,
        random=node.outside.random_bytes,
        services=services,
        queries=queries,
        mailer=make_mailer(node.reactor, node.config, node.outside.now_ms, node.outside.random_bytes),
        identity_servers=identity_servers,
        trusted=parts.trusted_egress,
        profiles=remote.profiles,
        oauth=parts.oauth,
    )
    yield from account_endpoints(node.config, outside)
    rooms = RoomsOutside(
        db=node.db,
        master=parts.link,
        now_ms=node.outside.now_ms,
        seconds=node.reactor.seconds,
        random=node.outside.random_bytes,
        outgoing=parts.outgoing,
        policy_server=parts.outgoing.policy_server,
        subscribe=parts.following.subscribe,
        services=services,
        queries=queries,
        elsewhere=remote.rooms,
        remote=remote,
        identity_servers=identity_servers,
    )
    yield from room_endpoints(node.config, rooms)
    yield from moderation_endpoints(node.config, rooms)
    bridges = ServicesOutside(node.db, parts.link, services, http, node.outside.now_ms, node.reactor.seconds)
    yield from service_endpoints(node.config, bridges)
    known_keys = KnownKeys(node.db, lambda: parts.following.follower)
    parts.following.subscribe(known_keys.subscription())
    encryption = EncryptionOutside(
        db=node.db,
        master=parts.link,
        uia=interactive_auth(node.config, outside),
        server_name=node.config.server.name,
        now_ms=node.outside.now_ms,
        known_keys=known_keys,
        seconds=node.reactor.seconds,
        federation=parts.federation.client,
        on_lists=node.metrics.device_lists_asked,
    )
    yield from encryption_endpoints(encryption)
