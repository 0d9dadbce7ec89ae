"""Puts the endpoints by which operators look after rooms together."""

from hs_common.config import Config
from hs_workers.client.report_administration import ReportAdministration
from hs_workers.client.rooms_wiring import Outside

ENDPOINT_CLASSES: tuple[type, ...] = (ReportAdministration,)
"""What processes of other roles declare to their routers."""


def moderation_endpoints(config: Config, outside: Outside) -> list[object]:
    """One instance of each class, for the router."""
    db, secret = outside.db, config.registration.shared_secret
    return [ReportAdministration(db, secret, outside.now_ms)]
