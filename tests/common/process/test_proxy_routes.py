"""Routes for reverse proxies: every declared path goes to its role, and nothing else does."""

import json
import re

import pytest

from hs_common.process.proxy_routes import FORMATS, ProxyRoute, default_role, render

ROUTES = [
    ProxyRoute("client", "/_matrix/client/v3/rooms/{roomId}/join", "POST"),
    ProxyRoute("client", "/_matrix/client/v3/login", "GET"),
    ProxyRoute("client", "/_matrix/client/v3/login", "POST"),
    ProxyRoute("sync", "/_matrix/client/v3/sync", "GET"),
    ProxyRoute("sync", "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", "POST"),
    ProxyRoute("media", "/_matrix/media/v3/download/{serverName}/{mediaId}", "GET"),
]


def backend(method: str, path: str) -> str:
    """What HAProxy's map does with a request: the first line that matches."""
    for line in render(ROUTES, "haproxy").splitlines():
        if not line.startswith("#"):
            pattern, _, name = line.partition(" ")
            if re.search(pattern, f"{method}:{path}"):
                return name
    return "viaduct_client"


def test_role_with_most_endpoints_is_the_default() -> None:
    assert default_role(ROUTES) == "client"
    assert "login" not in render(ROUTES, "haproxy")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/_matrix/client/v3/sync", "viaduct_sync"),
        ("OPTIONS", "/_matrix/client/v3/sync", "viaduct_sync"),
        ("POST", "/_matrix/client/v3/sync", "viaduct_client"),
        ("GET", "/_matrix/client/v3/synced", "viaduct_client"),
        ("GET", "/x/_matrix/client/v3/sync", "viaduct_client"),
        ("POST", "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", "viaduct_sync"),
        ("POST", "/_matrix/client/unstable/org-matrix-simplified_msc3575/sync", "viaduct_client"),
        ("GET", "/_matrix/media/v3/download/example.org/abc", "viaduct_media"),
        ("GET", "/_matrix/media/v3/download/example.org/a%2Fb", "viaduct_media"),
        ("GET", "/_matrix/media/v3/download/example.org/a/b", "viaduct_client"),
        ("GET", "/_matrix/client/v3/login", "viaduct_client"),
    ],
)
def test_requests_go_to_the_role_that_serves_them(method: str, path: str, expected: str) -> None:
    assert backend(method, path) == expected


@pytest.mark.parametrize("format_name", FORMATS)
def test_every_format_names_every_role_and_is_the_same_each_time(format_name: str) -> None:
    text = render(ROUTES, format_name)
    assert text == render(reversed(ROUTES), format_name)
    for role in ("client", "sync", "media"):
        assert role in text


def test_json_lists_everything() -> None:
    data = json.loads(render(ROUTES, "json"))
    assert data["default_role"] == "client"
    assert len(data["routes"]) == len(ROUTES)


def test_traefik_is_valid_and_more_exact_rules_go_first() -> None:
    http = json.loads(render(ROUTES, "traefik"))["http"]
    assert http["routers"]["viaduct-sync"]["priority"] > http["routers"]["viaduct-client"]["priority"]
    assert set(http["services"]) == {"viaduct-client", "viaduct-sync", "viaduct-media"}
