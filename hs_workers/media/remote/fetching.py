"""Fetches one medium from its server into the store.

https://spec.matrix.org/v1.19/server-server-api/#content-repository: signed, as the second part of a body; or from where
its `Location` points. Servers from before that are asked on the deprecated path.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from hs_common.config.media import Media as MediaConfig
from hs_common.federation.client import FederationClient, path
from hs_common.federation.failures import AnsweredError, FederationError
from hs_common.http.egress.answer import Answer
from hs_common.http.egress.client import EgressClient, Purpose
from hs_common.http.egress.connection import Limits
from hs_common.http.egress.failures import AnswerTooLarge, EgressError
from hs_common.matrix.errors import MatrixError, not_found, unknown
from hs_common.storage import remote_media
from hs_common.storage.media import Content
from hs_common.storage.queries import Queries
from hs_workers.media.blobs import StorageFailed
from hs_workers.media.disposition import file_name_of, kept_content_type
from hs_workers.media.keeping import Keeping, ReceivedTooMuch
from hs_workers.media.remote.media_body import MediaBody
from hs_workers.media.remote.multipart import MalformedMultipart, boundary_of

SILENCE_S: Final = 30.0
"""A server may wait twenty seconds for an upload that has not come yet."""
WAITING_MS: Final = "20000"
REDIRECTS: Final = 3
AROUND_BYTES: Final = 256 * 1024
"""What an answer may have beside the medium."""
_BEFORE_V1_11: Final = ("M_UNRECOGNIZED", "M_UNKNOWN")
"""With a 404 or a 405: servers that do not know the path. A proxy answers no errcode, which reads as the second."""


@dataclass(frozen=True, slots=True)
class _Source:
    """A medium on its way: how its server describes it, and its bytes."""

    headers: Mapping[str, str]
    read: Callable[[], Awaitable[bytes]]


class Fetching:
    """`now_ms` is the time of day."""

    def __init__(
        self,
        config: MediaConfig,
        db: Queries,
        federation: FederationClient,
        egress: EgressClient,
        keeping: Keeping,
        now_ms: Callable[[], int],
    ) -> None:
        self._config = config
        self._db = db
        self._federation = federation
        self._egress = egress
        self._keeping = keeping
        self._now_ms = now_ms

    async def fetch(self, server_name: str, media_id: str) -> int:
        """Keeps and records it; answers how many bytes it has. Raises MatrixError, saying what the client is told."""
        try:
            return await self._fetch(server_name, media_id)
        except FederationError as error:
            raise _for_client(error) from error
        except (ReceivedTooMuch, AnswerTooLarge) as error:
            raise MatrixError(502, "M_TOO_LARGE", "The media are too large to be fetched") from error
        except (EgressError, MalformedMultipart) as error:
            raise unknown(f"The server {server_name} did not send the media whole", status=502) from error
        except StorageFailed as error:
            raise unknown("Media cannot be stored at the moment", status=503) from error

    async def _fetch(self, server_name: str, media_id: str) -> int:
        answer = await self._ask(server_name, media_id)
        try:
            content_type = answer.header("content-type") or ""
            if not content_type.lower().startswith("multipart/mixed"):
                return await self._keep(server_name, media_id, _plain(answer))
            body = MediaBody(boundary_of(content_type), answer.read)
            headers = await body.headers()
            if "location" not in headers:
                return await self._keep(server_name, media_id, _Source(headers, body.read))
        finally:
            answer.close()
        elsewhere = await self._follow(headers["location"])
        try:
            return await self._keep(server_name, media_id, _plain(elsewhere))
        finally:
            elsewhere.close()

    async def _ask(self, server_name: str, media_id: str) -> Answer:
        where, query = path("/_matrix/federation/v1/media/download/{}", media_id), {"timeout_ms": WAITING_MS}
        try:
            return await self._federation.open(server_name, "GET", where, query, limits=self._limits())
        except AnsweredError as error:
            if error.status not in (404, 405) or error.errcode not in _BEFORE_V1_11:
                raise
        where = path("/_matrix/media/v3/download/{}/{}", server_name, media_id)
        query["allow_remote"] = "false"
        return await self._federation.open(server_name, "GET", where, query, limits=self._limits())

    async def _follow(self, url: str) -> Answer:
        answer, _ = await self._egress.open(Purpose.MEDIA, "GET", url, limits=self._limits())
        if answer.status != 200:
            answer.close()
            raise MalformedMultipart(f"the place that the server named answers {answer.status}")
        return answer

    def _limits(self) -> Limits:
        total_s = self._config.remote_timeout_ms / 1000
        return Limits(total_s, SILENCE_S, self._config.remote_download_bytes + AROUND_BYTES, REDIRECTS)

    async def _keep(self, server_name: str, media_id: str, source: _Source) -> int:
        async with self._keeping.incoming() as incoming:
            digest = await incoming.receive(source.read, self._config.remote_download_bytes)
            content = Content(
                sha256=digest.sha256,
                size=digest.size,
                content_type=kept_content_type(source.headers.get("content-type")),
                file_name=file_name_of(source.headers.get("content-disposition")),
                is_public=self._config.unauthenticated_access,
            )

            async def record(db: Queries) -> None:
                await remote_media.fill_remote(db, server_name, media_id, self._now_ms(), content)

            await incoming.keep_with(digest, record)
        return digest.size


def _plain(answer: Answer) -> _Source:
    names = ("content-type", "content-disposition")
    return _Source({name: value for name in names if (value := answer.header(name)) is not None}, answer.read)


def _for_client(error: FederationError) -> MatrixError:
    if isinstance(error, AnsweredError):
        if error.status == 404:
            return not_found("Their server has no such media")
        if error.errcode in ("M_NOT_YET_UPLOADED", "M_TOO_LARGE"):
            status = 504 if error.errcode == "M_NOT_YET_UPLOADED" else 502
            return MatrixError(status, error.errcode, error.error)
    return error.for_client()
