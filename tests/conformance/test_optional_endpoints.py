"""Servers with everything on that a config can have: no endpoint is missing there, the optional ones included.

There are three ways: this server looks after its accounts, by single sign-on too; it leaves them to an authentication
service, of which the OAuth 2.0 API tells; or both, and then nothing is missing at all.
"""

from collections.abc import Iterator

import pytest

from hs_common.http.endpoint import EndpointDeclaration
from tests.conformance.asking import Answer, ask, declarations, hang_up, path_of
from tests.scenarios.authentication_service import authentication_service
from tests.scenarios.server import Server
from tests.scenarios.sign_in import sign_in_services

ABOUT = """
well_known_server = "matrix.example.org:443"
admin_contact = "mailto:admin@example.org"
policy_server_key = "1pQgQ4ycGPgq4yVjWtUYwaWBmg0uv3hnDPoIzvE+uYc"
"""
TURN = """
[turn]
uris = ["turn:turn.example.org"]
shared_secret = "known to the TURN server"
"""
OAUTH = ("/_matrix/client/v1/auth_metadata", "/_matrix/client/unstable/org.matrix.msc2965/auth_issuer")
SERVICE = "/_synapse/mas/"
# Spec: #oauth-20-api: what has its user confirm it by the older API cannot be used, and is done at the service.
OF_ACCOUNTS = ("/_matrix/client/v3/account/deactivate",)
REDIRECT = "/_matrix/client/v3/login/sso/redirect"
WELL_KNOWN = ("client", "server", "support", "policy_server")


@pytest.fixture(scope="module")
def settings() -> Iterator[tuple[str, Server]]:
    """The tables of the config that both have, and a server that has its ports already."""
    server = Server()
    server.about = ABOUT
    with sign_in_services(server):
        yield server.settings + TURN, server


def missing(server: Server) -> set[str]:
    """The endpoints that the server does not know. Asked without a token nothing happens at any of them."""
    return {one.path for one in declarations() if _asked(server, one).errcode == "M_UNRECOGNIZED"}


def _asked(server: Server, declaration: EndpointDeclaration) -> Answer:
    body = b"{}" if declaration.method in ("PUT", "POST") else None
    return ask(server.port, declaration.method, path_of(declaration.path, {"idpId": "main"}), body=body)


def test_a_server_that_looks_after_its_accounts_lacks_what_is_of_an_authentication_service(
    settings: tuple[str, Server],
) -> None:
    tables, server = settings
    server.settings = tables
    with server:
        lacks = missing(server)
        assert {path for path in lacks if not path.startswith(SERVICE)} == set(OAUTH)
        wish = "?redirectUrl=https://app.example.org/"
        for where in (REDIRECT, f"{REDIRECT}/main"):
            assert ask(server.port, "GET", where + wish).status == 302
        for name in WELL_KNOWN:
            assert ask(server.port, "GET", f"/.well-known/matrix/{name}").status == 200
        flows = ask(server.port, "GET", "/_matrix/client/v3/login").json["flows"]
        assert {"m.login.password", "m.login.sso", "m.login.token"} <= {flow["type"] for flow in flows}
    hang_up(server.port)


def test_a_server_that_leaves_its_accounts_to_a_service_lacks_nothing_but_what_that_does(
    settings: tuple[str, Server],
) -> None:
    tables, server = settings
    with authentication_service() as service:
        server.settings = tables + service.settings
        with server:
            assert missing(server) == set(OF_ACCOUNTS)
            assert ask(server.port, "GET", OAUTH[0]).json == service.metadata()
            for where in (REDIRECT, f"{REDIRECT}/main"):
                answer = ask(server.port, "GET", f"{where}?redirectUrl=https://app.example.org/")
                assert (answer.status, answer.errcode) == (404, "M_NOT_FOUND")
            flows = ask(server.port, "GET", "/_matrix/client/v3/login").json["flows"]
            assert [flow["type"] for flow in flows] == ["m.login.application_service"]
    hang_up(server.port)


def test_a_server_with_both_lacks_nothing(settings: tuple[str, Server]) -> None:
    tables, server = settings
    with authentication_service() as service:
        server.settings = f"{tables}{service.settings}legacy_api = true\n"
        with server:
            assert missing(server) == set()
            assert ask(server.port, "GET", OAUTH[0]).json == service.metadata()
            answer = ask(server.port, "GET", f"{REDIRECT}/main?redirectUrl=https://app.example.org/")
            assert answer.status == 302
            flows = ask(server.port, "GET", "/_matrix/client/v3/login").json["flows"]
            preferred = {flow["type"]: flow.get("oauth_aware_preferred", False) for flow in flows}
            assert preferred.pop("m.login.sso") is True
            assert preferred == dict.fromkeys(preferred, False)
            assert {"m.login.password", "m.login.token"} <= preferred.keys()
    hang_up(server.port)
