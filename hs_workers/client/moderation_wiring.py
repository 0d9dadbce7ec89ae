"""Puts the endpoints by which operators look after rooms together."""

from hs_common.config import Config
from hs_common.reading.client_events import ClientEvents
from hs_common.reading.room_view import RoomViews
from hs_workers.client.operator_rooms import OperatorRooms
from hs_workers.client.report_administration import ReportAdministration
from hs_workers.client.room.deleting import Deleting
from hs_workers.client.room_administration import RoomAdministration
from hs_workers.client.rooms_wiring import Outside

ENDPOINT_CLASSES: tuple[type, ...] = (OperatorRooms, ReportAdministration, RoomAdministration)
"""What processes of other roles declare to their routers."""


def moderation_endpoints(config: Config, outside: Outside) -> list[object]:
    """One instance of each class, for the router."""
    db, secret = outside.db, config.registration.shared_secret
    events = ClientEvents(db, RoomViews(db), outside.now_ms)
    deleting = Deleting(db, outside.master, outside.random, outside.now_ms)
    return [
        OperatorRooms(db, deleting, secret, outside.now_ms),
        ReportAdministration(db, secret, outside.now_ms),
        RoomAdministration(db, events, deleting),
    ]
