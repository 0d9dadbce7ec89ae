"""Push notifications: what push gateways are told, and how long it is tried."""

from typing import Annotated, Literal

from hs_common.config.option import Section, describe


class Push(Section, frozen=True):
    """Notifications to phones and other clients that are not connected, through their makers' push gateways."""

    include_content: Annotated[
        bool,
        describe(
            "Tell gateways what events say, unless a client asked for event ids only. The gateway and the phone's "
            "maker read it."
        ),
    ] = True
    badge: Annotated[
        Literal["messages", "rooms"],
        describe("What the number on an app's icon counts: unread notifications, or rooms that have some."),
    ] = "messages"
    keep_ms: Annotated[
        int,
        describe(
            "How long a notification is kept for a gateway that does not answer.",
            unit="ms",
            minimum=60_000,
            maximum=604_800_000,
        ),
    ] = 86_400_000
    mail_delay_ms: Annotated[
        int,
        describe(
            "How long something must be unread before a user who wants it is told by email, and at least between two "
            "mails of a room.",
            unit="ms",
            minimum=1_000,
            maximum=86_400_000,
        ),
    ] = 600_000
    room_link: Annotated[
        str, describe("What links to rooms in mails begin with; the room's id follows.", pattern="https?://.+")
    ] = "https://matrix.to/#/"
    allow_any_gateway: Annotated[
        bool,
        describe(
            "Take gateways without TLS and under other paths. For tests: what they are told can be read on the way. "
            "Gateways in private networks need egress.allow besides."
        ),
    ] = False
