"""Whom users find by name."""

from typing import Annotated

from hs_common.config.option import Section, describe


class UserDirectory(Section, frozen=True):
    """The user directory."""

    search_all_users: Annotated[
        bool,
        describe(
            "Whether users find everybody that this server knows of. Else they find who is in a room with them, or in "
            "one that anybody may join or read."
        ),
    ] = False
