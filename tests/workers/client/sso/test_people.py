"""What is made of a provider's words for somebody, and of a client's URL."""

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.matrix.errors import MatrixError
from hs_common.matrix.identifiers import new_user_id
from hs_workers.client.sso.people import suggested_localpart
from hs_workers.client.sso.signing_on import check_redirect_url, with_login_token
from hs_workers.client.sso_pages import is_below


@given(st.text() | st.none() | st.integers())
def test_a_suggestion_is_a_valid_name_or_none(claim: object) -> None:
    suggested = suggested_localpart(claim)
    if suggested:
        assert new_user_id(suggested, "example.org")


def test_suggestions() -> None:
    assert suggested_localpart("Alice.B@example.org") == "alice.b"
    assert suggested_localpart("á#") == "=c3=a1=23"


@given(st.text(max_size=30), st.sampled_from(["", "?a=b", "?loginToken=x&a=b&loginToken=y", "?a"]), st.booleans())
def test_a_token_is_added_once_to_any_url(path: str, query: str, fragment: bool) -> None:
    url = f"https://app.example/{path}{query}{'#there' if fragment else ''}"
    try:
        check_redirect_url(url)
    except MatrixError:
        return
    made = urlsplit(with_login_token(url, "t"))
    assert made[:3] == urlsplit(url)[:3]
    assert [value for name, value in parse_qsl(made.query) if name == "loginToken"] == ["t"]


def test_what_goes_on_from_a_trusted_url() -> None:
    for good in ("https://a.org", "https://a.org/", "https://a.org/x", "https://a.org?x", "https://b.org/c/d.e?/../"):
        assert is_below(good, ("https://a.org", "https://b.org/c/"))
    for bad in ("https://a.org.evil/", "https://a.organic", "http://a.org/", "https://b.org/", "https://a.org@evil/"):
        assert not is_below(bad, ("https://a.org", "https://b.org/c/"))
    for elsewhere in ("../d", "x/../../d", ".%2E/d", "%2e%2e", "..\\d", ".\t./d"):
        assert not is_below(f"https://b.org/c/{elsewhere}", ("https://b.org/c/",))


@pytest.mark.parametrize("url", ["element://connect", "im.app:/x", "element:///x?a=b"])
def test_schemes_of_apps(url: str) -> None:
    check_redirect_url(url)
    assert with_login_token(url, "t").startswith(url.partition("?")[0] + "?")
