"""What users reported, for the operators.

Not in the specification: paths and forms are those of Synapse's documented admin API, which moderation tools call; the
reports of rooms and users besides, for `viaduct admin reports`, whose caller proves that he knows the shared secret.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.operator_proof import check_proof
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param, not_found
from hs_common.matrix.room_texts import text_of
from hs_common.storage import reports
from hs_common.storage.queries import Queries

DEFAULT_LIMIT: Final = 100
MAXIMUM_LIMIT: Final = 500
MAXIMUM_OFFSET: Final = 10_000_000
_PATH: Final = "/_synapse/admin/v1/event_reports"


class ReportAdministration:
    """Listing and deleting reports. `secret` is the config's shared one."""

    def __init__(self, db: Queries, secret: str, now_ms: Callable[[], int]) -> None:
        self._db = db
        self._secret = secret
        self._now_ms = now_ms

    @endpoint("GET", _PATH, auth=Auth.ADMIN, spec="Synapse's admin API, event reports")
    async def events(self, request: Request) -> Reply:
        """A page of the reports of events, the newest first unless told."""
        query = request.query
        direction = query.string("dir", "b")
        if direction not in ("b", "f"):
            raise invalid_param("`dir` must be `b` or `f`")
        offset = query.integer("from", 0, 0, MAXIMUM_OFFSET)
        limit = query.integer("limit", DEFAULT_LIMIT, 0, MAXIMUM_LIMIT)
        wanted: dict[str, Any] = {
            "events_only": True,
            "reporter": query.string("user_id", None),
            "room_id": query.string("room_id", None),
        }
        rows = await reports.page(self._db, offset=offset, limit=limit, forwards=direction == "f", **wanted)
        total = await reports.count(self._db, **wanted)
        answer: dict[str, Any] = {"event_reports": [_told(row) for row in rows], "total": total}
        return {**answer, "next_token": offset + len(rows)} if rows and offset + len(rows) < total else answer

    @endpoint("GET", _PATH + "/{reportId}", auth=Auth.ADMIN, spec="Synapse's admin API, event reports")
    async def event(self, request: Request) -> Reply:
        """One report, with the event."""
        row = await reports.of_event(self._db, _number(request))
        if row is None:
            raise not_found("Event report not found")
        told = _report(row)
        return {**told, "event_json": orjson.loads(row[8])} if row[8] is not None else told

    @endpoint("DELETE", _PATH + "/{reportId}", auth=Auth.ADMIN, spec="Synapse's admin API, event reports")
    async def delete(self, request: Request) -> Reply:
        """Forgets a report."""
        if not await reports.delete(self._db, _number(request)):
            raise not_found("Event report not found")
        return {}

    @endpoint("GET", "/_viaduct/admin/v1/reports", auth=Auth.NONE, spec="Viaduct's own administration")
    async def all(self, request: Request) -> Reply:
        """The newest reports of any kind."""
        check_proof(self._secret, request, self._now_ms())
        rows = await reports.page(
            self._db, offset=0, limit=MAXIMUM_LIMIT, forwards=False, events_only=False, reporter=None, room_id=None
        )
        return {"reports": [_told(row) for row in rows]}


def _number(request: Request) -> int:
    text = request.path["reportId"]
    if not (text.isascii() and text.isdigit() and len(text) < 18):
        raise invalid_param("The id of a report is a number")
    return int(text)


def _report(row: Sequence[Any]) -> dict[str, Any]:
    report_id, received_ts, reporter, room_id, event_id, user_id, reason, score = row[:8]
    told = {"room_id": room_id, "event_id": event_id, "sender": user_id, "score": score}
    present = {key: value for key, value in told.items() if value is not None}
    return {"id": report_id, "received_ts": received_ts, "user_id": reporter, "reason": reason, **present}


def _told(row: Sequence[Any]) -> dict[str, Any]:
    """A report with what its room is called, where it has a name."""
    named = {"name": (row[8], "name"), "canonical_alias": (row[9], "alias")}
    texts = {key: _text(json, field) for key, (json, field) in named.items()}
    return {**_report(row), **{key: text for key, text in texts.items() if text}}


def _text(json: str | None, key: str) -> str | None:
    return None if json is None else text_of(orjson.loads(json)["content"], key)
