"""Where this server may connect to, on behalf of its users and of other servers."""

from typing import Annotated

from hs_common.config.option import Section, describe


class Egress(Section, frozen=True):
    """Connections to the outside: other servers, previews, push gateways. Only public addresses, unless told."""

    allow: Annotated[
        tuple[str, ...],
        describe('Private networks that may be connected to all the same, such as "10.1.0.0/16".'),
    ] = ()
    deny: Annotated[tuple[str, ...], describe("Further networks that are never connected to; goes before allow.")] = ()
    ca_file: Annotated[
        str,
        describe("Certificates (PEM) of authorities that are believed beside the system's; relative to this file."),
    ] = ""
