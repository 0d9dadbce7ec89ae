"""Which role serves which endpoints: what routes are printed from, and what a worker forwards."""

from typing import Final

from hs_workers.client.accounts_wiring import ENDPOINT_CLASSES as ACCOUNTS
from hs_workers.client.encryption_wiring import ENDPOINT_CLASSES as ENCRYPTION
from hs_workers.client.moderation_wiring import ENDPOINT_CLASSES as MODERATION
from hs_workers.client.rooms_wiring import ENDPOINT_CLASSES as ROOMS
from hs_workers.client.services_wiring import ENDPOINT_CLASSES as SERVICES
from hs_workers.federation_inbound.wiring import ENDPOINT_CLASSES as FEDERATION_INBOUND
from hs_workers.media.wiring import ENDPOINT_CLASSES as MEDIA
from hs_workers.sync.wiring import ENDPOINT_CLASSES as SYNC

ENDPOINTS: Final[dict[str, tuple[type, ...]]] = {
    "client": (*ACCOUNTS, *ROOMS, *MODERATION, *SERVICES, *ENCRYPTION),
    "sync": SYNC,
    "appservice": (),
    "media": MEDIA,
    "push": (),
    "federation-inbound": FEDERATION_INBOUND,
    "federation-sender": (),
}
