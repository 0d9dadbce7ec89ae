"""Single sign-on: identity providers by which users log in."""

from typing import Annotated, Literal

from hs_common.config.option import Secret, Section, describe


class OidcProvider(Section, frozen=True, forbid_unknown_fields=True):
    """One OpenID Connect provider. It is told that callbacks go to <public_baseurl>/_viaduct/client/sso/callback."""

    id: Annotated[str, describe("Names it for ever: accounts are tied to it.", pattern=r"[A-Za-z0-9._~-]{1,64}")]
    name: Annotated[str, describe("What people read on its button.")]
    issuer: Annotated[str, describe("Its URL, below which it tells about itself.", pattern=r"https?://.+")]
    client_id: Annotated[str, describe("Who this server is there.")]
    client_secret: Annotated[Secret, describe("Proves that; empty for a public client.")] = Secret("")
    client_secret_file: Annotated[str, describe("A file to read it from instead; relative to the config file.")] = ""
    client_authentication: Annotated[
        Literal["client_secret_basic", "client_secret_post"], describe("How the secret is sent.")
    ] = "client_secret_basic"
    scopes: Annotated[tuple[str, ...], describe("What is asked for; openid is.")] = ("openid", "profile")
    icon: Annotated[
        str, describe("An mxc:// URI of its picture, which can be had without a token.", pattern=r"|mxc://.+")
    ] = ""
    brand: Annotated[str, describe("A brand that clients may know, such as github.", pattern=r"[a-z0-9_.-]*")] = ""
    localpart_claim: Annotated[str, describe("The claim that a new user's name is suggested from.")] = (
        "preferred_username"
    )
    display_name_claim: Annotated[str, describe("The claim that a new user's display name is taken from.")] = "name"
    asks_for_name: Annotated[
        bool, describe("Whether new users may choose their name; else it is the claim's, if it is free and valid.")
    ] = True
    allows_registration: Annotated[bool, describe("Whether accounts are made for whom it does not know yet.")] = True
    links_existing: Annotated[
        bool,
        describe("Whether an account of the claim's name becomes this person's. Only if the provider gives out names."),
    ] = False


class Sso(Section, frozen=True):
    """Logging in by OpenID Connect. Needs server.public_baseurl."""

    providers: Annotated[
        tuple[OidcProvider, ...],
        describe(
            'Such as [{ id = "example", name = "Example", issuer = "https://id.example.org", client_id = "matrix", '
            'client_secret_file = "oidc.secret" }]; more in docs/sign-in.md.'
        ),
    ] = ()
    trusted_clients: Annotated[
        tuple[str, ...],
        describe("URLs of clients, or their beginnings, that users are sent back to without being asked."),
    ] = ()
