"""Messages from the server itself to its users."""

from typing import Annotated

from hs_common.config.option import Section, describe


class ServerNotices(Section, frozen=True):
    """Administrators can write to users in the server's name, each in a room of his own. Without `localpart`: not."""

    localpart: Annotated[str, describe("Of the account that writes, which is made when it is needed.")] = ""
    display_name: Annotated[str, describe("What that account is called.")] = "Server notices"
    avatar_url: Annotated[str, describe("Its picture, and the rooms': an mxc URL.", pattern="|mxc://.+")] = ""
    room_name: Annotated[str, describe("The name of the rooms.")] = "Server notices"
    room_topic: Annotated[str, describe("Their topic; empty: none.")] = ""
