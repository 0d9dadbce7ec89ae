"""What a mail is, and the bytes that an SMTP server takes. Pure: the time and the message id are given.

Rules: an address or subject never ends a header line; only ASCII addresses, since not every SMTP server takes others.
"""

import re
from dataclasses import dataclass
from email.utils import formatdate, parseaddr
from typing import Final

ADDRESS_LIMIT: Final = 254
"""Characters. RFC 5321 allows no longer path."""

_ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")


class MailFailed(Exception):
    """The mail was not taken. `is_permanent`: the same mail will never be (no such address)."""

    def __init__(self, reason: str, is_permanent: bool = False) -> None:
        super().__init__(reason)
        self.is_permanent = is_permanent


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail to one person. `html` may be empty; `headers` are further ones, of one line each."""

    recipient: str
    subject: str
    text: str
    html: str = ""
    headers: tuple[tuple[str, str], ...] = ()


def is_address(text: str) -> bool:
    """Whether this is an address to which we send mail: local part, @, a domain."""
    return len(text) <= ADDRESS_LIMIT and ".." not in text and _ADDRESS.fullmatch(text) is not None


def canonical_address(address: str) -> str:
    """The address as it is stored and compared.

    https://spec.matrix.org/v1.19/appendices/#3pid-types
    """
    return address.strip().casefold()


def address_of(sender: str) -> str:
    """The bare address in `Example <noreply@example.org>`."""
    return parseaddr(sender)[1]


def encode(mail: Mail, sender: str, message_id: str, now_ms: int) -> bytes:
    """The mail with all its headers. ValueError for an address that is none."""
    from email.message import EmailMessage  # loaded with the first mail, they are large
    from email.policy import SMTP

    if not is_address(mail.recipient):
        raise ValueError(f"{mail.recipient!r} is not a mail address")
    message = EmailMessage()
    message["From"] = sender
    message["To"] = mail.recipient
    message["Subject"] = " ".join(mail.subject.split())
    message["Date"] = formatdate(now_ms / 1000)
    message["Message-ID"] = f"<{message_id}@{address_of(sender).rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday notice comes back
    for name, value in mail.headers:
        message[name] = value
    message.set_content(mail.text)
    if mail.html:
        message.add_alternative(mail.html, subtype="html")
    return message.as_bytes(policy=SMTP)
