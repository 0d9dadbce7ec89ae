"""The OAuth 2.0 API: an authentication service that looks after accounts and sessions, instead of this server or beside
it."""

from typing import Annotated

from hs_common.config.option import Secret, Section, describe


class OAuth(Section, frozen=True):
    """Leaves logging in, registering and managing accounts to an authentication service, such as MAS."""

    issuer: Annotated[
        str, describe("The service's public URL, as it calls itself; empty: there is none.", pattern=r"|https?://.+")
    ] = ""
    endpoint: Annotated[
        str, describe("Where this server reaches it; empty: at the issuer's URL.", pattern=r"|https?://.+")
    ] = ""
    secret: Annotated[Secret, describe("Known to the service and to this server: each shows it to the other.")] = (
        Secret("")
    )
    secret_file: Annotated[str, describe("A file to read it from instead; relative to this file.")] = ""
    client_id: Annotated[
        str, describe("Asks about tokens as this client, with the secret as its password; empty: by the secret alone.")
    ] = ""
    account_management_url: Annotated[
        str, describe("Where people manage their accounts; empty: as the service says.", pattern=r"|https?://.+")
    ] = ""
    legacy_api: Annotated[
        bool,
        describe("Whether this server's own passwords, registration and single sign-on go on beside the service."),
    ] = False
