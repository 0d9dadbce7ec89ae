"""What `viaduct doctor` says of the folder of media, and of a real S3 server that is set up wrong in every way."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import boto3
import msgspec
import pytest

from hs_common.config.media import S3, Media
from hs_common.config.option import Secret
from hs_common.process.commands.doctor_media import examine_media
from tests.scenarios.ports import PortBlock
from tests.web_servers import serving
from tests.workers.media.object_store import BUCKET, ObjectStore, running_object_store


def wrong(media: Media) -> str:
    """What is wrong, a line each."""
    return "\n".join(finding.sentence for finding in examine_media(media) if not finding.good)


def good(media: Media) -> str:
    return "\n".join(finding.sentence for finding in examine_media(media) if finding.good)


def kept_in(store: ObjectStore, **more: Any) -> Media:
    options = {**store.options(), **more}
    return Media(s3=S3(**options))


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with PortBlock() as ports, running_object_store(ports.first) as running:
        yield running


def test_a_folder(tmp_path: Path) -> None:
    assert wrong(Media(folder=str(tmp_path))) == ""
    assert "GiB left" in good(Media(folder=str(tmp_path)))
    full = Media(folder=str(tmp_path), upload_bytes=1 << 60)
    assert "left: free some, or purge media" in wrong(full)
    assert "is not on this machine" in good(Media(folder=str(tmp_path / "none")))


def test_a_store_that_does_all(store: ObjectStore) -> None:
    media = kept_in(store, prefix="x/")
    assert wrong(media) == ""
    for right in ("put", "get", "list", "delete"):
        assert f"lets {store.access_key_id} {right}" in good(media)
    assert re.search(r"clock and the object store's differ by \d s", good(media))
    assert store.objects() == []
    store.check_signatures(False)
    assert "signed URLs can be fetched" in good(kept_in(store, redirects=True))
    store.check_signatures(True)


def test_both_places_are_looked_at_while_media_move(store: ObjectStore, tmp_path: Path) -> None:
    found = good(msgspec.structs.replace(kept_in(store), moving_from="folder", folder=str(tmp_path)))
    assert str(tmp_path) in found
    assert "delete" in found


def test_a_store_that_is_set_up_wrong(store: ObjectStore) -> None:
    assert "the bucket other does not exist at http" in wrong(kept_in(store, bucket="other"))
    assert "does not belong to media.s3.access_key_id" in wrong(kept_in(store, secret_access_key=Secret("no")))
    assert "does not know media.s3.access_key_id" in wrong(kept_in(store, access_key_id="AKIANOBODY"))
    assert "cannot be reached: " in wrong(kept_in(store, endpoint="http://127.0.0.1:1"))


def test_a_key_that_may_not_do_all(store: ObjectStore) -> None:
    denied = ["s3:DeleteObject", "s3:ListBucket"]
    statements = [
        {"Effect": "Allow", "Action": "s3:*", "Resource": "*"},
        {"Effect": "Deny", "Action": denied, "Resource": "*"},
    ]
    of_owner = {
        "endpoint_url": store.endpoint,
        "region_name": "us-east-1",
        "aws_access_key_id": store.access_key_id,
        "aws_secret_access_key": store.secret_access_key,
    }
    store.check_signatures(False)
    users = boto3.client("iam", **of_owner)
    users.create_user(UserName="limited")
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    users.put_user_policy(UserName="limited", PolicyName="some", PolicyDocument=policy)
    key = users.create_access_key(UserName="limited")["AccessKey"]
    store.check_signatures(True)
    limited = ObjectStore(store.endpoint, key["AccessKeyId"], key["SecretAccessKey"])
    found = wrong(kept_in(limited))
    assert f"to delete: the key may not do that: allow it s3:DeleteObject on {BUCKET}" in found
    assert f"to list: the key may not do that: allow it s3:ListBucket on {BUCKET}" in found
    assert "to put" not in found
    store.empty()


def test_a_bucket_that_keeps_what_is_deleted(store: ObjectStore) -> None:
    store.check_signatures(False)
    owner = boto3.client(
        "s3",
        endpoint_url=store.endpoint,
        region_name="us-east-1",
        aws_access_key_id=store.access_key_id,
        aws_secret_access_key=store.secret_access_key,
    )
    owner.create_bucket(Bucket="versions")
    owner.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    store.check_signatures(True)
    assert "the bucket versions keeps versions, so what is deleted stays" in wrong(kept_in(store, bucket="versions"))


@contextmanager
def answering(status: int, code: str, **headers: str) -> Iterator[str]:
    """A server that says the same whatever it is asked: its address."""

    class Says(BaseHTTPRequestHandler):
        def _say(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = f"<Error><Code>{code}</Code></Error>".encode()
            self.send_response_only(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_DELETE = _say

        def log_message(self, *_: object) -> None:
            """Says nothing of it."""

    with serving(HTTPServer(("127.0.0.1", 0), Says)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


@pytest.mark.parametrize(
    ("status", "code", "headers", "sentence"),
    [
        (403, "RequestTimeTooSkewed", {"Date": "Mon, 01 Jan 2024 00:00:00 GMT"}, "differ by"),
        (403, "RequestTimeTooSkewed", {}, "this machine's clock is wrong: let NTP set it"),
        (301, "PermanentRedirect", {"Location": "http://127.0.0.1:1/"}, "the bucket is in another region"),
        (400, "AuthorizationHeaderMalformed", {}, "media.s3.region is not the bucket's region"),
        (418, "Teapot", {}, "it answered 418 Teapot"),
        (200, "x", {}, "cannot be used to get: it answered 200 x"),
    ],
)
def test_what_stores_answer(status: int, code: str, headers: dict[str, str], sentence: str) -> None:
    with answering(status, code, **headers) as endpoint:
        assert sentence in wrong(kept_in(ObjectStore(endpoint, "AKIA", "secret")))
