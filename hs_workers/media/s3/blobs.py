"""Contents in a bucket: `<prefix>blobs/<first byte>/<digest>`.

An object is there whole or not at all, and its digest is checked by the store, so nothing here can be half done.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from twisted.logger import Logger

from hs_workers.media.blobs import Blob, Digest, Found, Receiving, StorageFailed
from hs_workers.media.disk import Disk
from hs_workers.media.s3.requests import Answer, Bucket
from hs_workers.media.s3.spool import Spool, SpooledReceiving

RESUMED_LIMIT: Final = 5
"""So often a download goes on with a new request where the last one broke off."""
_KEY: Final = re.compile(r".*/([0-9a-f]{64})")


class S3Blobs:
    """The bucket. `now_ms` is the time of day; `spool_folder` None: where the system has temporary files.
    `sign` makes a URL that clients may fetch; None: they may not."""

    def __init__(
        self,
        bucket: Bucket,
        prefix: str,
        disk: Disk,
        spool_folder: Path | None,
        now_ms: Callable[[], int],
        sign: Callable[[str, Mapping[str, str]], str] | None,
    ) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._disk = disk
        self._spool_folder = spool_folder
        self._now_ms = now_ms
        self._sign = sign
        self._log = Logger()

    async def start(self) -> None:
        """Tells the operator if the bucket cannot be used. It may come back; meanwhile all else is served."""
        try:
            await self._bucket.list({"list-type": "2", "max-keys": "1", "prefix": f"{self._prefix}blobs/"})
        except StorageFailed as error:
            self._log.error("The object store of media cannot be used: {error}", error=error)

    def receive(self) -> Receiving:
        return SpooledReceiving(Spool(self._spool_folder, self._disk), self._send)

    async def _send(self, spool: Spool, digest: Digest) -> None:
        await self._bucket.put(self._key(digest.sha256), spool, digest.sha256)

    async def open(self, sha256: bytes) -> Blob | None:
        answer = await self._bucket.get(self._key(sha256))
        if answer is not None and answer.size < 0:
            answer.body.close()
            raise StorageFailed("the store does not say how large an object is")
        return None if answer is None else _S3Blob(self._bucket, self._key(sha256), answer)

    async def delete(self, sha256: bytes) -> None:
        await self._bucket.delete(self._key(sha256))

    def signed_url(self, sha256: bytes, content_type: str, disposition: str) -> str | None:
        if self._sign is None:
            return None
        parameters = {"response-content-type": content_type, "response-content-disposition": disposition}
        return self._sign(self._key(sha256), parameters)

    async def contents(self, prefix: int) -> Sequence[Found]:
        parameters = {"list-type": "2", "prefix": f"{self._prefix}blobs/{prefix:02x}/"}
        found: list[Found] = []
        while True:
            page, token = _listed(await self._bucket.list(parameters), self._now_ms())
            found += page
            if token is None:
                return found
            parameters["continuation-token"] = token

    async def delete_unfinished(self, minimum_age_s: float) -> int:
        """Nothing of the kind survives the process that received it."""
        return 0

    def _key(self, sha256: bytes) -> str:
        name = sha256.hex()
        return f"{self._prefix}blobs/{name[:2]}/{name}"


def _listed(xml: bytes, now_ms: int) -> tuple[list[Found], str | None]:
    """The contents of one page of a list, and the token of the next page."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise StorageFailed(f"the store's list cannot be read: {error}") from error
    space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
    found = []
    for entry in root.iter(f"{space}Contents"):
        key, date = entry.findtext(f"{space}Key") or "", entry.findtext(f"{space}LastModified") or ""
        match = _KEY.fullmatch(key)
        if match is not None:
            age_s = now_ms / 1000 - datetime.fromisoformat(date).timestamp()
            found.append(Found(bytes.fromhex(match[1]), age_s))
    return found, root.findtext(f"{space}NextContinuationToken") or None


class _S3Blob:
    """An object that is read from one answer, in order; another one is asked for where somebody jumps, or where the
    connection breaks."""

    def __init__(self, bucket: Bucket, key: str, answer: Answer) -> None:
        self.size = answer.size
        self._bucket = bucket
        self._key = key
        self._answer: Answer | None = answer
        self._offset = 0
        self._resumed = 0
        self._closed = False

    async def read(self, offset: int, size: int) -> bytes:
        if offset >= self.size:
            return b""
        while True:
            if self._answer is None or offset != self._offset:
                await self._jump(offset)
            assert self._answer is not None
            try:
                data = await self._answer.body.read(size)
                if not data:
                    raise StorageFailed("the store sent less than it announced")
            except StorageFailed:
                self._resumed += 1
                self._drop()
                if self._resumed > RESUMED_LIMIT:
                    raise
                continue
            self._offset = offset + len(data)
            return data

    async def _jump(self, offset: int) -> None:
        self._drop()
        answer = await self._bucket.get(self._key, offset)
        if answer is None:
            raise StorageFailed("the object was deleted while it was read")
        if answer.status == 200 and offset:
            answer.body.close()
            raise StorageFailed("the store does not send parts of objects")
        self._answer, self._offset = answer, offset
        if self._closed:
            self._drop()
            raise StorageFailed("nobody reads any more")

    def _drop(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.body.close()

    def close(self) -> None:
        self._closed = True
        self._drop()
