"""What a server signs people in by that is elsewhere: a mail server, and an identity provider."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.common.email.smtp_server import Postbox, smtp_server
from tests.scenarios.server import Server
from tests.workers.client.oidc_provider import Provider, oidc_provider

CALLBACK: Final = "/_viaduct/client/sso/callback"
_SETTINGS: Final = """
[email]
smtp_host = "127.0.0.1"
smtp_port = {smtp_port}
security = "none"
sender = "Viaduct <noreply@example.org>"

[sso]
providers = [{{ id = "main", name = "Main", issuer = "{issuer}", client_id = "{id}", client_secret = "{secret}" }}]
"""


@contextmanager
def sign_in_services(server: Server) -> Iterator[tuple[Postbox, Provider]]:
    """Both running, for a server that is started within the block: it has its ports, its URL and its settings."""
    server.reserve()
    try:
        server.public_baseurl = server.url
        with smtp_server() as postbox, oidc_provider(server.url + CALLBACK) as provider:
            names = {"issuer": provider.issuer, "id": provider.client_id, "secret": provider.client_secret}
            server.settings = _SETTINGS.format(smtp_port=postbox.port, **names)
            yield postbox, provider
    finally:
        server.release()
