"""The command line's way to name how many workers of a role there shall be: `sync=4`."""

from collections.abc import Collection
from typing import Any, Final

import click

MOST: Final = 16
"""Of a role on one machine; each is a process of some 70 MiB."""


class RoleCount(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click alone
    """`ROLE=N` of some roles."""

    name = "ROLE=N"

    def __init__(self, roles: Collection[str]) -> None:
        self._roles = roles

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Refuses other roles, and numbers out of bounds."""
        role, _, number = str(value).partition("=")
        if role not in self._roles:
            self.fail(f"{value}: there are the roles {', '.join(self._roles)}", param, ctx)
        if not number.isdigit() or not 1 <= int(number) <= MOST:
            self.fail(f"{value}: a number from 1 to {MOST} is expected, as in {role}=4", param, ctx)
        return role, int(number)
