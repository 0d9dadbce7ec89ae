"""Application services as they are registered, and what makes them interested in rooms. Written by the master; the
directory of their networks by the workers that serve it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hs_common.matrix.appservice import Registration, Service, Services, decode_registration
from hs_common.storage.queries import Queries, Row


@dataclass(frozen=True, slots=True)
class Registered:
    """A row of `appservices`."""

    registration: Registration
    as_token_hash: bytes
    hs_token: str
    source: str
    paused: bool
    made_pos: int


async def registered(db: Queries) -> list[Registered]:
    """All of them, in the order of their ids."""
    rows = await db.fetch(
        "SELECT registration, as_token_hash, hs_token, source, paused, made_pos FROM appservices ORDER BY service_id"
    )
    return [
        Registered(decode_registration(registration), bytes(token_hash), *rest)
        for registration, token_hash, *rest in rows
    ]


async def services(db: Queries, server_name: str) -> Services:
    """All of them, ready to be asked."""
    return services_of(await registered(db), server_name)


def services_of(rows: Sequence[Registered], server_name: str) -> Services:
    """The services of these rows."""
    return Services(Service(row.registration, server_name, paused=row.paused) for row in rows)


async def joined_users(db: Queries, room_ids: Sequence[str]) -> list[Row]:
    """Rows (room_id, user_id) of this server's users who are joined to the rooms."""
    return await db.fetch(
        "SELECT room_id, user_id FROM local_membership"
        " WHERE room_id = ANY(%s) AND to_pos = 9223372036854775807 AND membership = 'join'",
        (list(room_ids),),
    )


async def aliases(db: Queries, room_ids: Sequence[str]) -> list[Row]:
    """Rows (room_id, alias)."""
    return await db.fetch("SELECT room_id, alias FROM aliases WHERE room_id = ANY(%s)", (list(room_ids),))


async def open_causes(db: Queries, room_ids: Sequence[str]) -> list[Row]:
    """Rows (room_id, service_id, cause) of interest that holds now."""
    return await db.fetch(
        "SELECT room_id, service_id, cause FROM as_room WHERE room_id = ANY(%s) AND to_pos = 9223372036854775807",
        (list(room_ids),),
    )


async def interested_in_rooms(db: Queries, room_ids: Sequence[str]) -> list[Row]:
    """Rows (room_id, service_id), each once."""
    return await db.fetch(
        "SELECT DISTINCT room_id, service_id FROM as_room WHERE room_id = ANY(%s) AND to_pos = 9223372036854775807",
        (list(room_ids),),
    )


async def sharing_rooms_with(db: Queries, user_ids: Sequence[str]) -> list[Row]:
    """Rows (user_id, service_id): a room that the user is joined to interests the service. Each once."""
    return await db.fetch(
        "SELECT DISTINCT m.user_id, a.service_id FROM local_membership AS m JOIN as_room AS a USING (room_id)"
        " WHERE m.user_id = ANY(%s) AND m.to_pos = 9223372036854775807 AND m.membership = 'join'"
        " AND a.to_pos = 9223372036854775807",
        (list(user_ids),),
    )


async def publish_room(db: Queries, service_id: str, network_id: str, room_id: str) -> None:
    """Puts a room into the directory of a service's network."""
    await db.execute(
        "INSERT INTO appservice_directory (service_id, network_id, room_id) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (service_id, network_id, room_id),
    )


async def withdraw_room(db: Queries, service_id: str, network_id: str, room_id: str) -> None:
    """Takes a room out of the directory of a service's network."""
    await db.execute(
        "DELETE FROM appservice_directory WHERE service_id = %s AND network_id = %s AND room_id = %s",
        (service_id, network_id, room_id),
    )


async def published_rooms(db: Queries, service_id: str | None, network_id: str | None) -> list[str]:
    """Rooms in the directories of one network, or (None) of all."""
    rows = await db.fetch(
        "SELECT DISTINCT room_id FROM appservice_directory"
        " WHERE (%(service)s::text IS NULL OR service_id = %(service)s)"
        " AND (%(network)s::text IS NULL OR network_id = %(network)s) ORDER BY room_id",
        {"service": service_id, "network": network_id},
    )
    return [room_id for (room_id,) in rows]
