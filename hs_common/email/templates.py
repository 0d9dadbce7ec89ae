"""The texts of mails, from templates: `<name>.txt`, whose first line is the subject, and `<name>.html`.

In HTML every value is escaped. A value that a template names and does not get is our own mistake, and an error.
"""

from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from hs_common.email.mail import Mail


class Templates:
    """`application_name` and `server_name` are known to every template."""

    def __init__(self, application_name: str, server_name: str) -> None:
        self._environment = Environment(
            loader=PackageLoader("hs_common.email"),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {"application_name": application_name, "server_name": server_name}

    def mail(self, name: str, recipient: str, values: Mapping[str, object]) -> Mail:
        """The mail of that name."""
        subject, _, text = self._environment.get_template(f"{name}.txt").render(values).partition("\n")
        return Mail(
            recipient, subject, text.lstrip("\n") + "\n", self._environment.get_template(f"{name}.html").render(values)
        )
