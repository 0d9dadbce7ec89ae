"""The role `media`: uploads, downloads, thumbnails, previews."""

from collections.abc import Iterable

from hs_workers.media.wiring import ENDPOINT_CLASSES as MEDIA
from hs_workers.media.wiring import media_endpoints
from hs_workers.roles.parts import RoleParts

ENDPOINT_CLASSES: tuple[type, ...] = MEDIA


def make(parts: RoleParts) -> Iterable[object]:
    """Uploads, downloads, thumbnails, previews."""
    return media_endpoints(parts.node, parts.egress, parts.federation.client)
