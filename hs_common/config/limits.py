"""Bounds on what one request or one user may ask for."""

from typing import Annotated

from hs_common.config.option import Section, describe


class Limits(Section, frozen=True):
    """What one request may ask for at most."""

    request_body_bytes: Annotated[
        int,
        describe(
            "The largest body of a request that is not an upload.", unit="bytes", minimum=65_536, maximum=64 << 20
        ),
    ] = 1 << 20
    open_connections: Annotated[
        int, describe("Connections that one process accepts at once.", minimum=16, maximum=1_000_000)
    ] = 20_000
    sync_timeout_ms: Annotated[
        int,
        describe(
            # A worker that forwards the request waits three minutes for the answer.
            "The longest that a /sync may wait; proxies must wait longer.",
            unit="ms",
            minimum=1_000,
            maximum=170_000,
        ),
    ] = 120_000
    delayed_events_of_user: Annotated[
        int,
        describe(
            "Events that one user may have scheduled to be sent later; 0 turns delayed events off.",
            minimum=0,
            maximum=10_000,
        ),
    ] = 100
    delayed_event_longest_ms: Annotated[
        int,
        describe(
            "The longest delay of an event that is sent later.",
            unit="ms",
            minimum=1_000,
            maximum=366 * 24 * 3600 * 1000,
        ),
    ] = 24 * 3600 * 1000
    page_size: Annotated[
        int, describe("Events or rooms on a page at most, whatever the client asks for.", minimum=10, maximum=10_000)
    ] = 1_000


class Presence(Section, frozen=True):
    """Who is online."""

    enabled: Annotated[bool, describe("Whether presence is kept and told at all.")] = True
