"""Sending over a real SMTP server: each way of encrypting, logging in, refusals, and servers that are not there."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import Factory, Protocol

from hs_common.config.email import Email
from hs_common.email.mail import Mail, MailFailed
from hs_common.email.mailer import CONNECTIONS_LIMIT, WAITING_LIMIT, Mailer
from hs_common.email.smtp import Smtp
from hs_common.email.templates import Templates
from tests.common.email.smtp_server import NAME, PASSWORD, USER, Identity, identity, smtp_server
from tests.reactor import reactor, run

MAIL = Mail("alice@example.org", "Grüße", "Hello.\n.\n.A line with a dot.\n", "<p>Hello</p>")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return identity(tmp_path_factory.mktemp("certificate"))


def settings(port: int, **more: Any) -> Email:
    given = {"smtp_host": NAME, "smtp_port": port, "sender": "Example <no@example.org>", "timeout_ms": 2000, **more}
    return msgspec.convert(given, Email, dec_hook=lambda kind, value: kind(value))


def mailer(config: Email, trust_root: Any = None) -> Mailer:
    smtp = Smtp(reactor, config, "example.org", trust_root)
    return Mailer(config, Templates("Matrix", "example.org"), smtp, lambda: 0, lambda size: b"x" * size)


def failure_of(sending: Any) -> MailFailed:
    with pytest.raises(MailFailed) as raised:
        run(sending)
    return raised.value


def test_without_encryption() -> None:
    with smtp_server() as postbox:
        run(mailer(settings(postbox.port, security="none")).send_mail(MAIL))
        [mail] = postbox.mails
    assert (mail.sender, mail.recipients, mail.encrypted) == ("no@example.org", ["alice@example.org"], False)
    assert mail.message["Subject"] == "Grüße"
    assert mail.message["From"] == "Example <no@example.org>"
    assert mail.text.replace("\r\n", "\n") == MAIL.text
    assert "<p>Hello</p>" in mail.html


def test_starttls_with_a_login(own: Identity) -> None:
    with smtp_server(own.context, login=True) as postbox:
        config = settings(postbox.port, security="starttls", username=USER, password=PASSWORD)
        run(mailer(config, own.trust_root).send("registration", "alice@example.org", {"link": "https://x/y"}))
        assert [(mail.encrypted, mail.user) for mail in postbox.mails] == [(True, USER)]
        wrong = settings(postbox.port, security="starttls", username=USER, password="wrong")
        assert "535" in str(failure_of(mailer(wrong, own.trust_root).send_mail(MAIL)))


def test_implicit_tls(own: Identity) -> None:
    with smtp_server(own.context, implicit=True) as postbox:
        run(mailer(settings(postbox.port, security="tls"), own.trust_root).send_mail(MAIL))
        assert len(postbox.mails) == 1


def test_nothing_is_sent_to_who_is_not_who_he_should_be(own: Identity) -> None:
    with smtp_server(own.context) as postbox:
        failure_of(mailer(settings(postbox.port, security="starttls")).send_mail(MAIL))
        assert postbox.mails == []


def test_nothing_is_sent_in_the_clear_where_encryption_is_wanted() -> None:
    with smtp_server() as postbox:
        assert "TLS" in str(failure_of(mailer(settings(postbox.port, security="starttls")).send_mail(MAIL)))
        assert postbox.mails == []


def test_a_refused_recipient() -> None:
    with smtp_server() as postbox:
        postbox.refuse = ["550 no such person", "451 try again later"]
        sender = mailer(settings(postbox.port, security="none"))
        for permanent in (True, False):
            failed = failure_of(sender.send_mail(MAIL))
            assert failed.is_permanent == permanent
            assert ("no such person" in str(failed)) == permanent
        assert sender.waiting == 0


def test_a_server_that_is_not_there_or_says_nothing() -> None:
    assert "cannot be reached" in str(failure_of(mailer(settings(1, security="none")).send_mail(MAIL)))

    async def silent() -> None:
        port = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
        try:
            await mailer(settings(port.getHost().port, security="none", timeout_ms=1000)).send_mail(MAIL)
        finally:
            await port.stopListening()

    failure_of(silent())


class Slow:
    """A delivery that ends when the test says so."""

    def __init__(self) -> None:
        self.begun: list[Deferred[None]] = []

    async def deliver(self, sender: str, recipient: str, content: bytes) -> None:
        self.begun.append(Deferred())
        await self.begun[-1]


def test_few_at_a_time_and_not_too_many_in_all() -> None:
    slow = Slow()
    config = settings(1)
    sender = Mailer(config, Templates("Matrix", "example.org"), slow, lambda: 0, lambda size: b"x" * size)
    sent = [Deferred.fromCoroutine(sender.send_mail(MAIL)) for _ in range(WAITING_LIMIT)]
    assert (len(slow.begun), sender.waiting) == (CONNECTIONS_LIMIT, WAITING_LIMIT)
    assert "too many" in str(failure_of(sender.send_mail(MAIL)))
    while sender.waiting:
        for one in [one for one in slow.begun if not one.called]:
            one.callback(None)
    run(_all(sent))


async def _all(sent: list[Deferred[None]]) -> None:
    await gatherResults(sent)


def test_a_dot_at_any_place_of_a_long_mail_ends_nothing() -> None:
    text = "".join(f"{'x' * (length % 70)}\n.\n" for length in range(2000))
    with smtp_server() as postbox:
        run(mailer(settings(postbox.port, security="none")).send_mail(Mail("a@example.org", "Long", text)))
        assert postbox.mails[0].text.replace("\r\n", "\n") == text


def test_a_folder_of_templates_is_part_of_the_package() -> None:
    folder = Path(__file__).parents[3] / "hs_common/email/templates"
    assert {path.suffix for path in folder.iterdir()} == {".txt", ".html"}
