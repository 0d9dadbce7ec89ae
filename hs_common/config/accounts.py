"""Who may have an account, and how sessions and passwords are kept."""

from typing import Annotated, Literal

from hs_common.config.option import Secret, Section, describe


class Registration(Section, frozen=True):
    """Who may make an account. `viaduct admin create-user` always works."""

    enabled: Annotated[bool, describe("Whether clients may register accounts.")] = False
    requires_token: Annotated[
        bool, describe("Whether registering takes a token made by `viaduct admin create-token`.")
    ] = True
    requires_email: Annotated[
        bool, describe("Whether registering takes a mail address that is confirmed. Needs [email].")
    ] = False
    guests: Annotated[bool, describe("Whether clients may come in as guests, without an account.")] = False
    shared_secret: Annotated[
        Secret,
        describe(
            "Lets tools register accounts, also of administrators, by proving that they know it; empty: none may."
        ),
    ] = Secret("")
    shared_secret_file: Annotated[str, describe("A file to read it from instead; relative to this file.")] = ""


class PasswordHash(Section, frozen=True):
    """What one guess at a stolen password hash costs (Argon2id)."""

    time_cost: Annotated[int, describe("Passes over the memory.", minimum=1, maximum=20)] = 2
    memory_kib: Annotated[
        int, describe("Memory for one hash; two may be made at once.", unit="KiB", minimum=8, maximum=1 << 21)
    ] = 19_456


class Accounts(Section, frozen=True):
    """Passwords and sessions."""

    threepid_changes: Annotated[
        bool, describe("Whether users may add mail addresses to their accounts and remove them.")
    ] = True
    identity_servers: Annotated[
        tuple[str, ...],
        describe("The only identity servers that are asked on behalf of users, such as matrix.org; empty: any."),
    ] = ()
    password_login: Annotated[
        bool, describe("Whether users may log in with passwords; else only as [sso] or application services say.")
    ] = True
    minimum_password_length: Annotated[
        int, describe("The shortest password that is accepted.", unit="characters", minimum=1, maximum=128)
    ] = 8
    password_needs: Annotated[
        tuple[Literal["lowercase", "uppercase", "digit", "symbol"], ...],
        describe("What else a password must have, such as a digit and a symbol."),
    ] = ()
    password_hash: PasswordHash = PasswordHash()
    access_token_lifetime_ms: Annotated[
        int,
        describe(
            "How long an access token lives for clients that can refresh it. Others get one that lives until logout.",
            unit="ms",
            minimum=1_000,
        ),
    ] = 3_600_000
    refresh_token_lifetime_ms: Annotated[
        int, describe("How long a session may lie unused before it ends; 0: for ever.", unit="ms", minimum=0)
    ] = 0
    login_token_lifetime_ms: Annotated[
        int, describe("How long a login token for another device is good.", unit="ms", minimum=1_000)
    ] = 120_000
    interactive_auth_lifetime_ms: Annotated[
        int, describe("How long a client may take over the stages of one authentication.", unit="ms", minimum=10_000)
    ] = 900_000
