"""Texts from templates, of pages and of mails. What renders them is loaded with the first one: most workers need none.

A value that a template names and does not get is our own mistake, and an error.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


class PageTemplates:
    """The templates in the folder `templates` of a package. In HTML every value is escaped.

    `application_name` and `server_name` are known to every template.
    """

    def __init__(self, package: str, application_name: str, server_name: str) -> None:
        self._package = package
        self._known = {"application_name": application_name, "server_name": server_name}

    def render(self, name: str, values: Mapping[str, object]) -> str:
        """The text of the template in the file of that name."""
        return self._environment.get_template(name).render(values)

    @cached_property
    def _environment(self) -> "Environment":
        from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

        made = Environment(
            loader=PackageLoader(self._package),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        made.globals |= self._known
        return made
