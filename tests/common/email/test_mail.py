"""What a mail says and how it is written down."""

from email import message_from_bytes, policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.email.mail import Mail, address_of, canonical_address, encode, is_address
from hs_common.email.templates import Templates

TEMPLATES = Templates("Banana <chat>", "example.org")


@pytest.mark.parametrize("good", ["a@b", "alice@example.org", "o'neill+x=1@sub.example.org", "x@127.0.0.1"])
def test_addresses(good: str) -> None:
    assert is_address(good)


@pytest.mark.parametrize(
    "bad",
    ["", "alice", "@example.org", "a@", "a b@example.org", "<a@b>", "a@b\r\nBcc: c@d", "a@b@c", "ü@example.org",
     "a@-b", "a..b@example.org", "x" * 65 + "@b", "a@" + "b" * 260, "a@b,c@d"],
)  # fmt: skip
def test_what_is_no_address(bad: str) -> None:
    assert not is_address(bad)
    with pytest.raises(ValueError, match="not a mail address"):
        encode(Mail(bad, "x", "y"), "n@example.org", "id", 0)


def test_addresses_are_compared_without_case() -> None:
    assert canonical_address(" Alice@Example.ORG ") == "alice@example.org"
    assert canonical_address("Strauß@Example.com") == "strauss@example.com"


@given(st.text(), st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")))
def test_no_text_adds_a_header(subject: str, text: str) -> None:
    try:
        content = encode(Mail("a@example.org", subject, text), "Example <no@example.org>", "id", 0)
    except UnicodeEncodeError:
        return  # a lone surrogate, which no request can bring
    parsed = message_from_bytes(content, policy=policy.default)
    wanted = {"From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Content-Type", "MIME-Version"}
    assert set(parsed.keys()) <= wanted | {"Content-Transfer-Encoding"}
    assert parsed["To"] == "a@example.org"


def test_a_template_becomes_a_mail_with_its_values_escaped() -> None:
    mail = TEMPLATES.mail("registration", "a@example.org", {"link": 'https://x/?a=1&b="<'})
    assert mail.subject == "Confirm your address for Banana <chat>"
    assert 'https://x/?a=1&b="<' in mail.text
    assert "https://x/?a=1&amp;b=&#34;&lt;" in mail.html
    assert "Banana &lt;chat&gt;" in mail.html
    assert "example.org" in mail.text


@pytest.mark.parametrize("name", ["registration", "add_address", "password_reset"])
def test_every_mail_with_a_link_has_it_in_both_forms(name: str) -> None:
    mail = TEMPLATES.mail(name, "a@example.org", {"link": "https://x/y"})
    assert "https://x/y" in mail.text
    assert "https://x/y" in mail.html


def test_the_bare_address_of_a_sender() -> None:
    assert address_of("Example <noreply@example.org>") == "noreply@example.org"
    assert address_of("noreply@example.org") == "noreply@example.org"
