"""How this server sends mail."""

from typing import Annotated, Literal

from hs_common.config.option import Secret, Section, describe


class Email(Section, frozen=True):
    """Mail: confirming addresses, resetting passwords, notifications. Without a host there is none of these."""

    smtp_host: Annotated[str, describe("The SMTP server that takes mail for delivery; empty: no mail is sent.")] = ""
    smtp_port: Annotated[int, describe("Its TCP port.", minimum=1, maximum=65535)] = 587
    security: Annotated[
        Literal["starttls", "tls", "none"],
        describe(
            "starttls: encrypt after connecting, or send nothing; tls: encrypt from the first byte (usually port 465); "
            "none: only for a server on this machine."
        ),
    ] = "starttls"
    username: Annotated[str, describe("Whom to log in to the SMTP server as; empty: without logging in.")] = ""
    password: Annotated[Secret, describe("The password for that.")] = Secret("")
    password_file: Annotated[str, describe("A file to read it from instead; relative to this file.")] = ""
    sender: Annotated[
        str, describe("The From of every mail, such as: Example <noreply@example.org>.", pattern=r"|[^\r\n]*@[^\r\n]+")
    ] = ""
    timeout_ms: Annotated[
        int, describe("How long the SMTP server may take for each answer.", unit="ms", minimum=1_000, maximum=120_000)
    ] = 20_000
    application_name: Annotated[str, describe("What mails and pages call this service.", pattern=r"[^\r\n]+")] = (
        "Matrix"
    )
    token_lifetime_ms: Annotated[
        int, describe("How long a link that confirms an address is good.", unit="ms", minimum=60_000)
    ] = 3_600_000
    allowed_domains: Annotated[
        tuple[str, ...], describe("The only domains of addresses that may be added to accounts; empty: all.")
    ] = ()
    next_link_hosts: Annotated[
        tuple[str, ...],
        describe("Hosts that clients may send people to after a confirmation; empty: any, by http or https."),
    ] = ()
    hides_addresses: Annotated[
        bool,
        describe(
            "Whether a request to confirm an address succeeds also where an account has it already, or none has it "
            "that should: nobody learns who has an account but by reading the mail, which says so or never comes."
        ),
    ] = False
