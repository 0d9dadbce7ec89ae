"""URLs of Redis are read as redis-py reads them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import connection

from hs_common.replication.redis_url import DEFAULT_PORT, parse_redis_url

parse_url: Any = connection.parse_url  # has no types
NAMES = st.text("abcz09-%40", min_size=1, max_size=6).map(lambda text: text.replace("%", "%25"))


@given(
    st.sampled_from(["redis", "rediss"]),
    st.one_of(st.just(""), st.tuples(st.one_of(st.just(""), NAMES), NAMES).map(lambda pair: f"{pair[0]}:{pair[1]}@")),
    st.sampled_from(["", "localhost", "10.1.2.3", "[::1]", "redis.example.org"]),
    st.one_of(st.just(""), st.integers(1, 65535).map(lambda port: f":{port}")),
    st.sampled_from(["", "/", "/0", "/7", "?db=3", "/1?db=2"]),
)
def test_as_redis_py(scheme: str, credentials: str, host: str, port: str, rest: str) -> None:
    url = f"{scheme}://{credentials}{host}{port}{rest}"
    theirs, ours = parse_url(url), parse_redis_url(url)
    assert ours.host == theirs.get("host", "localhost")
    assert ours.port == theirs.get("port", DEFAULT_PORT)
    assert (ours.user, ours.password) == (theirs.get("username"), theirs.get("password"))
    assert ours.database == theirs.get("db", 0)
    assert ours.tls is (scheme == "rediss")


@pytest.mark.parametrize("url", ["unix:///run/redis.sock", "unix://:secret@/run/redis.sock?db=4"])
def test_sockets_as_redis_py(url: str) -> None:
    theirs, ours = parse_url(url), parse_redis_url(url)
    assert ours.socket_path == theirs["path"]
    assert ours.password == theirs.get("password")
    assert ours.database == theirs.get("db", 0)


@pytest.mark.parametrize("url", ["", "http://localhost", "redis://localhost/x", "redis://localhost:99999"])
def test_others_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"scheme|int|[Pp]ort"):
        parse_redis_url(url)
