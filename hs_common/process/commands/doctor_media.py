"""What `viaduct doctor` looks at where media are kept: the folder and its disk, or the object store, with a probe that
is put there, read, listed and deleted again. Each sentence that says what is wrong says what to do.
"""

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from email.utils import parsedate_to_datetime
from hashlib import sha256
from pathlib import Path
from tempfile import gettempdir
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from hs_common.config.media import S3, Media
from hs_common.object_store.addresses import bucket_url, credentials_of
from hs_common.object_store.signing import encoded_path, encoded_query, signed_headers, signed_url
from hs_common.process.commands.finding import Finding

_TIMEOUT_S: Final = 10.0
_SPARE_BYTES: Final = 1 << 30
"""Less than this, or than the largest upload, is little: a disk that is full refuses everybody's uploads."""
_CLOCK_TOLERANCE_S: Final = 60.0
"""Stores refuse requests that are a quarter of an hour off; long before, somebody should look."""
_ANSWER_LIMIT: Final = 1 << 20
_CODE: Final = re.compile(r"<Code>([A-Za-z0-9]{1,60})</Code>")
_PROBE: Final = b"viaduct doctor was here"
_READ_FROM: Final = 8

_ADVICE: Final[dict[str, str]] = {
    "NoSuchBucket": "the bucket {bucket} does not exist at {endpoint}: make it, or correct media.s3.bucket",
    "InvalidAccessKeyId": "the store does not know media.s3.access_key_id",
    "SignatureDoesNotMatch": "media.s3.secret_access_key does not belong to media.s3.access_key_id",
    "RequestTimeTooSkewed": "this machine's clock is wrong: let NTP set it",
    "AuthorizationHeaderMalformed": "media.s3.region is not the bucket's region",
    "PermanentRedirect": "the bucket is in another region: correct media.s3.endpoint and media.s3.region",
    "AccessDenied": "the key may not do that: allow it {right} on {bucket}",
}
_RIGHTS: Final[dict[str, str]] = {
    "put": "s3:PutObject",
    "get": "s3:GetObject",
    "list": "s3:ListBucket",
    "delete": "s3:DeleteObject",
}


def examine_media(media: Media) -> Iterator[Finding]:
    """All findings: of both places, where media are being moved."""
    if media.moving_from or not media.s3.endpoint:
        yield from _folder("media", Path(media.folder), media)
    if media.s3.endpoint:
        yield from _folder("uploads on their way to the object store", _spool_folder(media.s3), media)
        yield from _store(media.s3)


# A folder


def _spool_folder(s3: S3) -> Path:
    return Path(s3.spool_folder or gettempdir())


def _folder(what: str, folder: Path, media: Media) -> Iterator[Finding]:
    if not folder.is_dir():
        yield Finding(True, f"{folder}, for {what}, is not on this machine: look where media workers run")
        return
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Finding(False, f"{folder}, for {what}, cannot be written by this user: run this as the server's user")
        return
    free, files = shutil.disk_usage(folder).free, os.statvfs(folder)
    needed = max(_SPARE_BYTES, media.upload_bytes)
    advice = "" if free >= needed else f": free some, or purge media; {needed / 2**30:.1f} GiB is the least"
    yield Finding(free >= needed, f"{folder}, for {what}, has {free / 2**30:.1f} GiB left{advice}")
    if files.f_files and files.f_favail < 1_000:
        yield Finding(False, f"the disk of {folder} has no room for more files (inodes): move media to another one")


# An object store


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    headers: "Message[str, str]"

    @property
    def code(self) -> str:
        """Of an error, as the store names it."""
        found = _CODE.search(self.body.decode("utf-8", "replace"))
        return found[1] if found else ""


class _Unreachable(Exception):
    """Nobody answers."""


class _Redirects(HTTPRedirectHandler):
    """Are told, and not followed: the signature is for one host."""

    def redirect_request(self, *_: object) -> None:
        return None


_OPENER: Final = build_opener(_Redirects)


class _Bucket:
    """Asks the store, one request at a time."""

    def __init__(self, s3: S3) -> None:
        self._s3 = s3
        self._url = bucket_url(s3, s3.endpoint)

    def ask(self, method: str, key: str, query: Mapping[str, str], body: bytes = b"", **headers: str) -> _Answer:
        """Signed. Raises _Unreachable."""
        url = f"{self._url}/{encoded_path(key)}" if key else self._url
        url += f"?{encoded_query(query)}" if query else ""
        now_ms, digest = time.time_ns() // 1_000_000, sha256(body).hexdigest()
        signed = signed_headers(credentials_of(self._s3), method, url, now_ms, digest, headers)
        return self.fetch(Request(url, body if method == "PUT" else None, signed, method=method))

    def fetch(self, request: Request) -> _Answer:
        """Raises _Unreachable."""
        try:
            with _OPENER.open(request, timeout=_TIMEOUT_S) as response:
                return _Answer(response.status, response.read(_ANSWER_LIMIT), response.headers)
        except HTTPError as error:
            with error:
                return _Answer(error.code, error.read(_ANSWER_LIMIT), error.headers)
        except (URLError, OSError, ValueError) as error:
            raise _Unreachable(str(getattr(error, "reason", error))) from error

    def signed_url(self, key: str) -> str:
        """As clients are given it, but at the endpoint that this server reaches."""
        url = f"{self._url}/{encoded_path(key)}"
        return signed_url(credentials_of(self._s3), url, time.time_ns() // 1_000_000, 60, {})


def _store(s3: S3) -> Iterator[Finding]:
    bucket, key = _Bucket(s3), f"{s3.prefix}doctor/{secrets.token_hex(8)}"
    try:
        put = bucket.ask("PUT", key, {}, _PROBE, **{"content-type": "application/octet-stream"})
        yield from _clock(put)
        yield from _said(s3, "put", put, put.status == 200)
        if put.status != 200:
            return
        yield from _read(s3, bucket, key)
        yield from _deleted(s3, bucket, key)
        yield from _versions(s3, bucket)
    except _Unreachable as error:
        yield Finding(
            False, f"the object store at {s3.endpoint} cannot be reached: {error}. Is media.s3.endpoint right?"
        )


def _clock(answer: _Answer) -> Iterator[Finding]:
    try:
        difference_s = abs(time.time() - parsedate_to_datetime(answer.headers.get("Date", "")).timestamp())
    except ValueError:
        return
    good = difference_s < _CLOCK_TOLERANCE_S
    advice = "" if good else ": let NTP set it; stores refuse requests that are 15 minutes off"
    yield Finding(good, f"this machine's clock and the object store's differ by {difference_s:.0f} s{advice}")


def _said(s3: S3, right: str, answer: _Answer, good: bool) -> Iterator[Finding]:
    if good:
        yield Finding(True, f"the object store lets {s3.access_key_id} {right}")
        return
    advice = _ADVICE.get(answer.code, "").format(bucket=s3.bucket, endpoint=s3.endpoint, right=_RIGHTS[right])
    said = advice or f"it answered {answer.status} {answer.code}".rstrip()
    yield Finding(False, f"the object store cannot be used to {right}: {said}")


def _read(s3: S3, bucket: _Bucket, key: str) -> Iterator[Finding]:
    whole = bucket.ask("GET", key, {})
    yield from _said(s3, "get", whole, whole.status == 200 and whole.body == _PROBE)
    part = bucket.ask("GET", key, {}, range=f"bytes={_READ_FROM}-")
    if whole.status == 200 and (part.status, part.body) != (206, _PROBE[_READ_FROM:]):
        yield Finding(
            False, "the object store does not send parts of objects: videos cannot be sought; use another one"
        )
    listed = bucket.ask("GET", "", {"list-type": "2", "prefix": key, "max-keys": "2"})
    yield from _said(s3, "list", listed, listed.status == 200 and key.encode() in listed.body)
    if s3.redirects:
        good = bucket.fetch(Request(bucket.signed_url(key))).body == _PROBE
        advice = "" if good else ": set media.s3.redirects = false, or correct the store's rules"
        yield Finding(good, f"signed URLs {'can' if good else 'cannot'} be fetched by clients{advice}")


def _deleted(s3: S3, bucket: _Bucket, key: str) -> Iterator[Finding]:
    deleted = bucket.ask("DELETE", key, {})
    good = deleted.status in (200, 204)
    yield from _said(s3, "delete", deleted, good)
    if good and bucket.ask("GET", key, {}).status != 404:
        yield Finding(False, f"the object store still sends {key}, which was deleted")


def _versions(s3: S3, bucket: _Bucket) -> Iterator[Finding]:
    """Whoever may not ask for this is not told."""
    if b"<Status>Enabled" in bucket.ask("GET", "", {"versioning": ""}).body:
        yield Finding(
            False,
            f"the bucket {s3.bucket} keeps versions, so what is deleted stays: suspend versioning, or let its lifecycle"
            " expire noncurrent versions",
        )
