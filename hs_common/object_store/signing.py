"""Signatures of requests to S3, version 4: in headers for what this server asks, in the query for what clients may ask.

Pure. https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final
from urllib.parse import quote, urlsplit

EMPTY_SHA256: Final = sha256(b"").hexdigest()
_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_UNRESERVED: Final = "-_.~"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who asks, and where."""

    access_key_id: str
    secret_access_key: str
    region: str

    def __repr__(self) -> str:
        return f"Credentials({self.access_key_id!r}, region={self.region!r})"


def signed_headers(
    credentials: Credentials, method: str, url: str, now_ms: int, content_sha256: str, headers: Mapping[str, str]
) -> dict[str, str]:
    """All headers of a request: those given, signed, and those of the signature. `url` is encoded as by `object_url`;
    `content_sha256` is the hexadecimal digest of the body."""
    date = _date(now_ms)
    all_headers = {
        **{name.lower(): value.strip() for name, value in headers.items()},
        "host": urlsplit(url).netloc,
        "x-amz-content-sha256": content_sha256,
        "x-amz-date": date,
    }
    names = ";".join(sorted(all_headers))
    scope = _scope(credentials, date)
    canonical = _canonical(method, url, urlsplit(url).query, all_headers, content_sha256)
    signature = _signature(credentials, date, canonical)
    all_headers["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return all_headers


def signed_url(credentials: Credentials, url: str, now_ms: int, lifetime_s: int, parameters: Mapping[str, str]) -> str:
    """A URL that anybody may GET until its lifetime ends. `parameters` are those of the request, such as
    `response-content-type`; `url` has none."""
    date = _date(now_ms)
    query = encoded_query(
        {
            **parameters,
            "X-Amz-Algorithm": _ALGORITHM,
            "X-Amz-Credential": f"{credentials.access_key_id}/{_scope(credentials, date)}",
            "X-Amz-Date": date,
            "X-Amz-Expires": str(lifetime_s),
            "X-Amz-SignedHeaders": "host",
        }
    )
    canonical = _canonical("GET", url, query, {"host": urlsplit(url).netloc}, "UNSIGNED-PAYLOAD")
    return f"{url}?{query}&X-Amz-Signature={_signature(credentials, date, canonical)}"


def encoded_path(path: str) -> str:
    """A path with everything but `/` and unreserved characters percent-encoded."""
    return quote(path, safe="/" + _UNRESERVED)


def encoded_query(parameters: Mapping[str, str]) -> str:
    """A query in the one form that is signed: sorted, all but unreserved characters percent-encoded."""
    encoded = {quote(name, safe=_UNRESERVED): quote(value, safe=_UNRESERVED) for name, value in parameters.items()}
    return "&".join(f"{name}={value}" for name, value in sorted(encoded.items()))


def _date(now_ms: int) -> str:
    return datetime.fromtimestamp(now_ms // 1000, UTC).strftime("%Y%m%dT%H%M%SZ")


def _scope(credentials: Credentials, date: str) -> str:
    return f"{date[:8]}/{credentials.region}/s3/aws4_request"


def _canonical(method: str, url: str, query: str, headers: Mapping[str, str], content_sha256: str) -> str:
    names = sorted(headers)
    lines = [method, urlsplit(url).path or "/", query, *(f"{name}:{headers[name]}" for name in names)]
    return "\n".join([*lines, "", ";".join(names), content_sha256])


def _signature(credentials: Credentials, date: str, canonical: str) -> str:
    key = f"AWS4{credentials.secret_access_key}".encode()
    for part in (date[:8], credentials.region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    digest = sha256(canonical.encode()).hexdigest()
    text = "\n".join([_ALGORITHM, date, _scope(credentials, date), digest])
    return hmac.new(key, text.encode(), "sha256").hexdigest()
