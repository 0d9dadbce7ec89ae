"""Who the server is: its name, its keys, what it tells about itself."""

from typing import Annotated

from hs_common.config.option import Section, describe

DEFAULT_SERVER_NAME = "localhost"


class Server(Section, frozen=True):
    """Who this server is."""

    name: Annotated[
        str,
        describe("The part after the colon of user ids and room aliases. It can never change once accounts exist."),
    ] = DEFAULT_SERVER_NAME
    public_baseurl: Annotated[
        str,
        describe(
            "The URL that clients reach the server by, as /.well-known/matrix/client tells it; empty: not told.",
            pattern="|https?://.+",
        ),
    ] = ""
    signing_key_file: Annotated[
        str,
        describe("The key that events are signed with; relative to this file. Made by `viaduct up`. Back it up."),
    ] = "signing.key"
    default_room_version: Annotated[str, describe("The version of rooms created without naming one.")] = "12"
    well_known: Annotated[bool, describe("Whether to answer /.well-known/matrix/client (and server) here.")] = True
    well_known_server: Annotated[
        str,
        describe(
            "host:port that other servers reach this one by, as /.well-known/matrix/server tells it; empty: not told."
        ),
    ] = ""
    admin_contact: Annotated[
        str, describe("A Matrix id, or mailto: address, that /.well-known/matrix/support names; empty: not told.")
    ] = ""
    policy_server_key: Annotated[
        str,
        describe(
            "The ed25519 key of a policy server of this domain, unpadded base64, as /.well-known/matrix/policy_server "
            "tells it; empty: not told.",
            pattern="|[A-Za-z0-9+/_-]{43}",
        ),
    ] = ""
