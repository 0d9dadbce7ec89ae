"""The role in a worker: what it takes of its process, and in which order its parts start and stop."""

from collections.abc import Iterable
from contextlib import suppress

from hs_common.federation.client import FederationClient
from hs_common.http.egress.client import EgressClient
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.identifiers import parse_mxc_uri
from hs_common.process.node import Node
from hs_workers.media.administration.admin_media import AdminMedia
from hs_workers.media.administration.operator_media import OperatorMedia
from hs_workers.media.authed_content_repo import AuthedContentRepo
from hs_workers.media.content_repo import ContentRepo
from hs_workers.media.content_repository import ContentRepository
from hs_workers.media.metrics import MediaMetrics
from hs_workers.media.parts import MediaParts, Outside

ENDPOINT_CLASSES: tuple[type, ...] = (
    AuthedContentRepo,
    ContentRepo,
    ContentRepository,
    AdminMedia,
    OperatorMedia,
)
"""What processes of other roles declare to their routers."""


def media_endpoints(node: Node, egress: EgressClient, federation: FederationClient) -> Iterable[object]:
    """The endpoints; adds the steps of the role to the process."""
    outside = Outside(
        server_name=node.config.server.name,
        reactor=node.reactor,
        db=node.db,
        background=node.background,
        metrics=MediaMetrics(node.metrics.registry),
        egress=egress,
        federation=federation,
        now_ms=node.outside.now_ms,
        random=node.outside.random_bytes,
        shared_secret=node.config.registration.shared_secret,
        shown_before_login=provider_icons(provider.icon for provider in node.config.sso.providers),
    )
    parts = MediaParts(node.config.media, outside)
    node.metrics.watch_queue("thumbnails", parts.thumbnails.waiting)
    node.metrics.watch_queue("previews", parts.previewing.waiting)
    node.metrics.watch_queue("waiting downloads", lambda: len(parts.arrivals))
    node.service.step("media threads", _nothing, parts.close)
    node.service.step("media storage", parts.store.start)
    node.metrics.watch_queue("remote media", parts.remote.waiting)
    node.service.step("media in all", parts.stored_bytes.start, parts.stored_bytes.stop)
    node.service.step("media last sent", parts.accesses.start, parts.accesses.stop)
    node.service.step("sweeping media", parts.sweeper.start, parts.sweeper.stop)
    return parts.endpoints


def provider_icons(uris: Iterable[str]) -> frozenset[tuple[str, str]]:
    """What clients show on their buttons for single sign-on, before anybody has a token: the specification excludes
    it from the freeze. What is no content URI is nothing to be had.

    https://spec.matrix.org/v1.19/client-server-api/#content-repository
    """
    found = set()
    for uri in uris:
        with suppress(MatrixError):
            found.add(parse_mxc_uri(uri))
    return frozenset(found)


async def _nothing() -> None:
    return None
