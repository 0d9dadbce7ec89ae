"""Timestamps that application services give to the events of their users.

Spec: application-service API, #timestamp-massaging.
"""

from hs_common.http.request import Request


def timestamp_of(request: Request) -> int | None:
    """The `ts` of an application service's request, in ms; None for everybody else, who has no say in it."""
    if request.requester.app_service_id is None:
        return None
    return request.query.integer("ts", None, minimum=0)
