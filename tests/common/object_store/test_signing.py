"""Our signatures are those of the vendor's own client, whatever is asked."""

from datetime import UTC, datetime
from hashlib import sha256
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as TheirCredentials
from hypothesis import given
from hypothesis import strategies as st

from hs_common.object_store.signing import Credentials, encoded_path, encoded_query, signed_headers, signed_url

OURS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "eu-central-1")
THEIRS = TheirCredentials(OURS.access_key_id, OURS.secret_access_key)
NOW_MS = 1_700_000_000_000
texts = st.text(st.characters(min_codepoint=32, codec="utf-8"), max_size=30)


def their_date() -> datetime:
    return datetime.fromtimestamp(NOW_MS / 1000, UTC)


def signing(auth: object, request: AWSRequest) -> None:
    with patch.object(botocore.auth, "get_current_datetime", their_date):
        auth.add_auth(request)  # type: ignore[attr-defined]


@given(key=texts, parameters=st.dictionaries(texts.filter(bool), texts, max_size=4), body=st.binary(max_size=20))
def test_headers(key: str, parameters: dict[str, str], body: bytes) -> None:
    query = encoded_query(parameters)
    url = f"https://s3.example.org/media/{encoded_path(key)}" + (f"?{query}" if query else "")
    digest = sha256(body).hexdigest()
    headers = {"Range": "bytes=5-", "content-type": "application/octet-stream"}
    request = AWSRequest("PUT", url, {**headers, "X-Amz-Content-SHA256": digest}, body)
    signing(botocore.auth.S3SigV4Auth(THEIRS, "s3", OURS.region), request)
    ours = signed_headers(OURS, "PUT", url, NOW_MS, digest, headers)
    assert ours["authorization"] == request.headers["Authorization"]


@given(key=texts, disposition=texts)
def test_urls(key: str, disposition: str) -> None:
    url = f"https://s3.example.org/media/{encoded_path(key)}"
    parameters = {"response-content-disposition": disposition, "response-content-type": "image/png"}
    request = AWSRequest("GET", f"{url}?{encoded_query(parameters)}")
    signing(botocore.auth.S3SigV4QueryAuth(THEIRS, "s3", OURS.region, expires=300), request)
    ours = signed_url(OURS, url, NOW_MS, 300, parameters)
    assert signature(ours) == signature(request.url)


def signature(url: str) -> list[str]:
    return parse_qs(urlsplit(url).query)["X-Amz-Signature"]


def test_nothing_shows_the_key() -> None:
    assert OURS.secret_access_key not in repr(OURS)
