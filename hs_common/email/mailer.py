"""Sends mails, a few at a time. Whoever asks waits until the SMTP server has the mail, and decides about failures.

Knows nothing of repeating: who wants a mail knows for how long it is worth sending.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from twisted.internet.defer import DeferredSemaphore

from hs_common.config.email import Email
from hs_common.email.mail import Mail, MailFailed, address_of, encode
from hs_common.email.templates import Templates

CONNECTIONS_LIMIT: Final = 4
"""Conversations with the SMTP server at once; servers for submission let in few more from one address."""
WAITING_LIMIT: Final = 500
"""Mails in memory at once, some MiB. More come only when the SMTP server hangs; then asking again later is better."""
MESSAGE_ID_BYTES: Final = 16


class Delivery(Protocol):
    """What takes a mail's bytes. Raises MailFailed."""

    async def deliver(self, sender: str, recipient: str, content: bytes) -> None:
        """Returns when somebody else answers for the mail."""


class Mailer:
    """`random(n)` gives n unpredictable bytes; `now_ms` is the time of day."""

    def __init__(
        self,
        settings: Email,
        templates: Templates,
        delivery: Delivery,
        now_ms: Callable[[], int],
        random: Callable[[int], bytes],
    ) -> None:
        self._sender = settings.sender
        self._templates = templates
        self._delivery = delivery
        self._now_ms = now_ms
        self._random = random
        self._turns = DeferredSemaphore(CONNECTIONS_LIMIT)
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """Mails that are not delivered yet."""
        return self._waiting

    async def send(self, name: str, recipient: str, values: Mapping[str, object]) -> None:
        """Sends the mail of the template. Raises MailFailed."""
        await self.send_mail(self.written(name, recipient, values))

    def written(self, name: str, recipient: str, values: Mapping[str, object]) -> Mail:
        """The mail of the template, not sent."""
        return self._templates.mail(name, recipient, values)

    async def send_mail(self, mail: Mail) -> None:
        """Sends a mail that is written already. Raises MailFailed."""
        if self._waiting >= WAITING_LIMIT:
            raise MailFailed("too many mails wait for the SMTP server")
        content = encode(mail, self._sender, self._random(MESSAGE_ID_BYTES).hex(), self._now_ms())
        self._waiting += 1
        try:
            await self._turns.acquire()
            try:
                await self._delivery.deliver(address_of(self._sender), mail.recipient, content)
            finally:
                self._turns.release()
        finally:
            self._waiting -= 1
