"""A mailer whose mails end here, for tests of what they say and of what their links do."""

from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from hs_common.config.email import Email
from hs_common.email.mail import MailFailed
from hs_common.email.mailer import Mailer
from hs_common.email.templates import Templates
from tests.workers.client.world import World

ADDRESS = "alice@example.org"
SECRET = "s3cret"
EMAIL = {"smtp_host": "localhost", "sender": "Example <no@example.org>"}


@dataclass
class Postbox:
    """What was sent. `failures` are met by the next mails instead."""

    mails: list[EmailMessage] = field(default_factory=list)
    failures: list[MailFailed] = field(default_factory=list)

    async def deliver(self, sender: str, recipient: str, content: bytes) -> None:
        if self.failures:
            raise self.failures.pop(0)
        message = message_from_bytes(content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.mails.append(message)

    @property
    def mailer(self) -> Mailer:
        settings = msgspec.convert(EMAIL, Email)
        return Mailer(settings, Templates("Matrix", "example.org"), self, lambda: 0, lambda size: b"x" * size)

    def text(self) -> str:
        """Of the newest mail."""
        part = self.mails[-1].get_body(("plain",))
        assert part is not None
        return str(part.get_content())

    def link(self) -> str:
        """The link in the newest mail."""
        return next(line for line in self.text().splitlines() if line.startswith("https://"))

    async def follow(self, world: World, link: str | None = None) -> Any:
        """Opens the link of the newest mail (or that one) and presses the button."""
        parts = urlsplit(link or self.link())
        fields = dict(parse_qsl(parts.query))
        page = await world.raw("GET", f"{parts.path}?{parts.query}")
        assert page.status == 200
        for value in fields.values():
            assert isinstance(page.body, bytes)
            assert value.encode() in page.body
        return await world.submit(parts.path, fields)


async def request_token(
    world: World, kind: str = "register", address: str = ADDRESS, secret: str = SECRET, attempt: int = 1, **more: Any
) -> Any:
    """Asks for a mail: `kind` is register, account/3pid or account/password."""
    body = {"client_secret": secret, "email": address, "send_attempt": attempt, **more}
    return await world.ask("POST", f"/{kind}/email/requestToken", body)


async def confirmed(world: World, postbox: Postbox, kind: str = "register", **more: Any) -> dict[str, str]:
    """The credentials of an address that was confirmed."""
    answer = await request_token(world, kind, **more)
    assert answer.status == 200, answer
    assert (await postbox.follow(world)).status == 200
    return {"sid": answer.json["sid"], "client_secret": more.get("secret", SECRET)}
