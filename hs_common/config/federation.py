"""How this server talks with other servers, and with which."""

from typing import Annotated

from hs_common.config.option import Section, describe


class Federation(Section, frozen=True):
    """Other servers. Where it may connect to at all stands in [egress]."""

    enabled: Annotated[bool, describe("Whether this server talks with others at all.")] = True
    allow: Annotated[
        tuple[str, ...],
        describe('The only servers that it talks with, such as "example.org" or "*.example.org"; empty: all.'),
    ] = ()
    deny: Annotated[tuple[str, ...], describe("Servers that it never talks with; goes before allow.")] = ()
    notaries: Annotated[
        tuple[str, ...], describe("Servers that are asked for the keys of servers that do not answer themselves.")
    ] = ("matrix.org",)
    resolve: Annotated[
        tuple[str, ...],
        describe(
            'Where servers are, in place of well-known and DNS: "example.org=10.0.0.5:8448". These addresses need no '
            "egress.allow."
        ),
    ] = ()
    verify_certificates: Annotated[
        bool, describe("Whether other servers must show a certificate by a known authority. Off in tests only.")
    ] = True
    key_lifetime_hours: Annotated[
        int,
        describe("For how long others may believe our keys without asking again.", minimum=2, maximum=168, unit="h"),
    ] = 24
    old_signing_keys: Annotated[
        tuple[str, ...],
        describe(
            'Keys that events were signed with before: "ed25519:VERSION PUBLIC_KEY EXPIRED_MS", as `viaduct admin '
            "rotate-key` writes them."
        ),
    ] = ()
    tls_port: Annotated[
        int,
        describe(
            "TCP port on which this process speaks TLS itself, for other servers; 0: a reverse proxy does.",
            minimum=0,
            maximum=65535,
        ),
    ] = 0
    tls_address: Annotated[str, describe("Address of that port.")] = "0.0.0.0"
    tls_certificate_file: Annotated[
        str, describe("Certificate and its chain (PEM); relative to this file. Read anew when it changes.")
    ] = ""
    tls_key_file: Annotated[str, describe("The certificate's private key (PEM); relative to this file.")] = ""
