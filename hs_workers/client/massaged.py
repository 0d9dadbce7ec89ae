"""Timestamps that application services give to the events of their users.

Spec: application-service API, #timestamp-massaging.
"""

from typing import Final

from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param

LATEST_MS: Final = 2**53 - 1
"""The largest whole number in canonical JSON."""


def timestamp_of(request: Request) -> int | None:
    """The `ts` of an application service's request, in ms; None for everybody else, who has no say in it."""
    if request.requester.app_service_id is None:
        return None
    timestamp_ms = request.query.integer("ts", None, minimum=0)
    if timestamp_ms is not None and timestamp_ms > LATEST_MS:
        raise invalid_param("`ts` is no time in milliseconds that an event can have")
    return timestamp_ms
