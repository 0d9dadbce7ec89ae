"""The TURN server that relays calls between clients that cannot reach each other."""

from typing import Annotated

from hs_common.config.option import Secret, Section, describe


class Turn(Section, frozen=True):
    """Calls: where clients find a TURN server, and how they log in to it. Without `uris` there is none."""

    uris: Annotated[
        tuple[str, ...],
        describe('Where it is, such as "turn:turn.example.org?transport=udp" and "turns:turn.example.org".'),
    ] = ()
    shared_secret: Annotated[
        Secret,
        describe("Its `static-auth-secret` (coturn): each client gets a name and a password of its own, for a while."),
    ] = Secret("")
    shared_secret_file: Annotated[str, describe("A file to read it from instead; relative to this file.")] = ""
    username: Annotated[str, describe("The one user name for all clients, where there is no shared secret.")] = ""
    password: Annotated[Secret, describe("The password for that.")] = Secret("")
    password_file: Annotated[str, describe("A file to read it from instead; relative to this file.")] = ""
    lifetime_ms: Annotated[
        int,
        describe("How long a client's name and password are good.", unit="ms", minimum=60_000, maximum=604_800_000),
    ] = 86_400_000
    allow_guests: Annotated[bool, describe("Whether guests get them too.")] = False
