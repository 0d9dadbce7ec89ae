"""The config of a server that others reach over TLS on loopback, with certificates of the tests' own authority."""

from collections.abc import Mapping

from tests.certificates import Authority
from tests.scenarios.server import Server


def federated(
    server: Server, places: Mapping[str, int], authority: Authority, *host_names: str, egress: str = ""
) -> str:
    """Tables for `server.settings`: `places` are the ports of other servers by their names; the certificate is for
    `host_names`. `egress`: further lines of that table. It ends within the table [federation]."""
    files = authority.issue(*host_names)
    resolve = ", ".join(f'"{name}=127.0.0.1:{port}"' for name, port in places.items() if name != server.name)
    return f"""
[egress]
ca_file = "{authority.ca_file}"
{egress}
[federation]
resolve = [{resolve}]
tls_port = {server.federation_port}
tls_address = "127.0.0.1"
tls_certificate_file = "{files.certificate}"
tls_key_file = "{files.key}"
"""
