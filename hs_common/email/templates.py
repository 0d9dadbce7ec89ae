"""The texts of mails, from templates: `<name>.txt`, whose first line is the subject, and `<name>.html`."""

from collections.abc import Mapping

from hs_common.email.mail import Mail
from hs_common.process.page_templates import PageTemplates


class Templates:
    """`application_name` and `server_name` are known to every template."""

    def __init__(self, application_name: str, server_name: str) -> None:
        self._pages = PageTemplates("hs_common.email", application_name, server_name)

    def mail(self, name: str, recipient: str, values: Mapping[str, object]) -> Mail:
        """The mail of that name."""
        subject, _, text = self._pages.render(f"{name}.txt", values).partition("\n")
        return Mail(recipient, subject, text.lstrip("\n") + "\n", self._pages.render(f"{name}.html", values))
