"""Registration files as bridges write them: what is read, and what is said about bad ones."""

from pathlib import Path

import pytest

from hs_common.appservices.files import parse_file, read_file
from hs_common.http.credentials import hash_token
from hs_common.matrix.appservice import BadRegistration, Namespace

IRC = """
id: "IRC Bridge"
url: "http://127.0.0.1:1234/"
as_token: "30c05ae90a248a4188e620216fa72e349803310ec83e2a77b34fe90be6081f46"
hs_token: 312df522183efd404ec1cd22d2ffa4bbc76a8c1ccf541dd692eef281356bb74e
sender_localpart: "_irc_bot"
namespaces:
  users:
    - exclusive: true
      regex: "@_irc_bridge_.*"
  aliases:
    - exclusive: false
      regex: "#_irc_bridge_.*"
  rooms: []
de.sorunome.msc2409.push_ephemeral: true
io.element.msc4190: true
protocols: [irc]
rate_limited: false
"""


def test_the_specifications_example_is_read() -> None:
    registration, tokens = parse_file(IRC, "example.org")
    assert registration.id == "IRC Bridge"
    assert registration.url == "http://127.0.0.1:1234"
    assert registration.users == (Namespace("@_irc_bridge_.*", True),)
    assert registration.aliases == (Namespace("#_irc_bridge_.*", False),)
    assert registration.receive_ephemeral
    assert registration.device_management
    assert registration.protocols == ("irc",)
    assert tokens.as_token_hash == hash_token("30c05ae90a248a4188e620216fa72e349803310ec83e2a77b34fe90be6081f46")
    assert tokens.hs_token.startswith("312df5")


@pytest.mark.parametrize(
    ("changed", "to", "said"),
    [
        ('id: "IRC Bridge"', "", "`id`"),
        ("as_token:", "as_tok:", "`as_token`"),
        ("http://127.0.0.1:1234/", "ftp://x", "`url`"),
        ('"@_irc_bridge_.*"', '"@("', "no expression"),
        ("  rooms: []", "  rooms: 5", "`namespaces.rooms`"),
        ("protocols: [irc]", "protocols: irc", "`protocols`"),
        ("rate_limited: false", "rate_limited: no way", "`rate_limited`"),
        ('"_irc_bot"', '"a:b c"', "`sender_localpart`"),
        ("protocols: [irc]", "protocols: [", "Not YAML, line"),
    ],
)
def test_what_is_wrong_is_said(changed: str, to: str, said: str) -> None:
    assert changed in IRC
    with pytest.raises(BadRegistration, match=said):
        parse_file(IRC.replace(changed, to), "example.org")


def test_a_service_without_url_and_with_a_token_of_digits_is_good() -> None:
    text = "{id: 1, url: null, as_token: 2, hs_token: 3, sender_localpart: bot, namespaces: {}}"
    registration, tokens = parse_file(text, "example.org")
    assert (registration.id, registration.url, tokens.hs_token) == ("1", None, "3")


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRegistration, match=r"irc\.yaml: No such file"):
        read_file(tmp_path / "irc.yaml", "example.org")
