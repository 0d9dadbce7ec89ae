"""Identifiers: what the grammar allows and refuses, at the limits too, and that parts make the whole again."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.matrix import identifiers
from hs_common.matrix.errors import MatrixError
from tests.common.matrix.strategies import text

NOT_STRINGS: list[object] = [None, 1, True, [], {}, b"@a:b"]

# Spec: appendices, #server-name.
SERVER_NAMES = [
    ("matrix.org", "matrix.org", None),
    ("matrix.org:8888", "matrix.org", 8888),
    ("1.2.3.4", "1.2.3.4", None),
    ("1.2.3.4:1234", "1.2.3.4", 1234),
    ("[1234:5678::abcd]", "[1234:5678::abcd]", None),
    ("[1234:5678::abcd]:5678", "[1234:5678::abcd]", 5678),
    ("[::ffff:1.2.3.4]:1", "[::ffff:1.2.3.4]", 1),
    ("LOCALHOST", "LOCALHOST", None),
    ("1.2.3.4.example", "1.2.3.4.example", None),
    ("a" * 255, "a" * 255, None),
]
BAD_SERVER_NAMES = [
    "",
    ":80",
    "matrix.org:",
    "matrix.org:123456",
    "matrix.org:80a",
    "matrix.org:٣",
    "matrix.org\n",
    "matrix_org",
    "mätrix.org",
    "matrix.org/path",
    "user@matrix.org",
    "300.1.1.1",
    "[1234:5678::abcd",
    "1234:5678::abcd",
    "[1234::5678::abcd]",
    "[::1%eth0]",
    "[]",
    "[12345::]",
    "a" * 256,
]


@pytest.mark.parametrize(("name", "host", "port"), SERVER_NAMES)
def test_server_names(name: str, host: str, port: int | None) -> None:
    assert identifiers.is_server_name(name)
    assert identifiers.parse_server_name(name) == (host, port)


@pytest.mark.parametrize("name", [*BAD_SERVER_NAMES, *NOT_STRINGS])
def test_what_is_no_server_name(name: object) -> None:
    assert not identifiers.is_server_name(name)
    with pytest.raises(MatrixError, match="M_INVALID_PARAM"):
        identifiers.parse_server_name(name)


@pytest.mark.parametrize(
    ("host", "is_literal"), [("1.2.3.4", True), ("[::1]", True), ("example.org", False), ("not a host", False)]
)
def test_ip_literals(host: str, is_literal: bool) -> None:
    assert identifiers.is_ip_literal(host) is is_literal


LONGEST = "@" + "a" * (255 - len("@:example.org")) + ":example.org"


@pytest.mark.parametrize(
    ("user_id", "compliant"),
    [
        ("@alice:example.org", True),
        ("@a.b_c=d-e/f+0:example.org:8448", True),
        ("@UPPER!#:[::1]", True),
        ("@:example.org", False),
        ("@a b:example.org", False),
        ("@\x01:example.org", False),
        ("@日本:example.org", False),
        (LONGEST, True),
    ],
)
def test_user_ids_and_historical_ones(user_id: str, compliant: bool) -> None:
    assert identifiers.is_user_id(user_id)
    assert identifiers.is_compliant_user_id(user_id) is compliant
    localpart, domain = identifiers.parse_user_id(user_id)
    assert f"@{localpart}:{domain}" == user_id
    assert (identifiers.localpart_of(user_id), identifiers.domain_of(user_id)) == (localpart, domain)


@pytest.mark.parametrize(
    "user_id",
    [
        "",
        "@",
        "@alice",
        "@alice:",
        "alice:example.org",
        "!alice:example.org",
        "@ali:ce:example.org",
        "@a\0b:example.org",
        "@\ud800:example.org",
        "@alice:exa mple.org",
        "@alice:example.org\n",
        "@a" + LONGEST[1:],
        "@" + "é" * 122 + ":example.org",
        *NOT_STRINGS,
    ],
)
def test_what_is_no_user_id(user_id: object) -> None:
    assert not identifiers.is_user_id(user_id)
    assert not identifiers.is_compliant_user_id(user_id)
    with pytest.raises(MatrixError, match="M_INVALID_PARAM"):
        identifiers.parse_user_id(user_id)


def test_a_new_user_id() -> None:
    assert identifiers.new_user_id("a.b_c=d-e/f+0", "example.org") == "@a.b_c=d-e/f+0:example.org"
    assert identifiers.new_user_id(LONGEST[1:].partition(":")[0], "example.org") == LONGEST


@pytest.mark.parametrize("localpart", ["", "A", "a b", "é", "a:b", "a\n", "a!", "a" * 250, None, 1])
def test_a_new_user_id_must_follow_the_current_grammar(localpart: object) -> None:
    with pytest.raises(MatrixError, match="M_INVALID_USERNAME"):
        identifiers.new_user_id(localpart, "example.org")


HASH = "Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"


@pytest.mark.parametrize(
    ("room_id", "has_domain"),
    [("!room:example.org", True), ("!:example.org", True), ("!a/ü:[::1]:80", True), ("!" + HASH, False)],
)
def test_room_ids(room_id: str, has_domain: bool) -> None:
    assert identifiers.is_room_id(room_id)
    assert identifiers.is_room_id_with_domain(room_id) is has_domain
    assert identifiers.is_hash_room_id(room_id) is not has_domain
    assert identifiers.check_room_id(room_id) == room_id


@pytest.mark.parametrize(
    "room_id", ["", "!", "!room", "!room:", "#room:example.org", "!" + HASH + "a", "!" + HASH[:-1] + "+", *NOT_STRINGS]
)
def test_what_is_no_room_id(room_id: object) -> None:
    assert not identifiers.is_room_id(room_id)
    with pytest.raises(MatrixError, match="M_INVALID_PARAM"):
        identifiers.check_room_id(room_id)


@given(text.filter(lambda localpart: ":" not in localpart and "\0" not in localpart))
def test_room_aliases(localpart: str) -> None:
    alias = f"#{localpart}:example.org:80"
    assert identifiers.is_room_alias(alias)
    assert identifiers.parse_room_alias(alias) == (localpart, "example.org:80")


@pytest.mark.parametrize("alias", ["", "#a", "#a:b:c:d", "@a:example.org", "#\0:a", "#" + "a" * 250 + ":b.cd", None])
def test_what_is_no_room_alias(alias: object) -> None:
    assert not identifiers.is_room_alias(alias)
    with pytest.raises(MatrixError, match="M_INVALID_PARAM"):
        identifiers.parse_room_alias(alias)


@pytest.mark.parametrize(
    ("event_id", "valid", "has_domain"),
    [
        ("$" + HASH, True, False),
        ("$acR1l0raoZnm60CBwAVgqbZqoO/mYU81xysh1u7XcJk", True, False),
        ("$random:example.org", True, True),
        ("$" + "a" * 254, True, False),
        ("$" + "a" * 255, False, False),
        ("$", False, False),
        ("$a\0", False, False),
        ("a", False, False),
        (None, False, False),
    ],
)
def test_event_ids(event_id: object, valid: bool, has_domain: bool) -> None:
    assert identifiers.is_event_id(event_id) is valid
    assert identifiers.is_event_id_with_domain(event_id) is has_domain


@pytest.mark.parametrize(
    ("is_valid", "good", "bad"),
    [
        (identifiers.is_device_id, ["ABC", "a b/ü", "x" * 255], ["", "x" * 256, "a\0", "ü" * 128, "\ud800", None]),
        (
            identifiers.is_key_id,
            ["ed25519:1", "signed_curve25519:AAAAHQ", "ed25519:base64+/key", "a:b:c"],
            ["", "ed25519", "ed25519:", ":1", "ED:1", "a:" + "x" * 254, None],
        ),
        (identifiers.is_media_id, ["abc_-09", "x" * 255], ["", "a/b", "..", "a.b", "%2e", "é", "x" * 256, None]),
    ],
)
def test_other_identifiers(is_valid: Callable[[object], bool], good: list[object], bad: list[object]) -> None:
    assert [identifier for identifier in good if not is_valid(identifier)] == []
    assert [identifier for identifier in bad if is_valid(identifier)] == []


def test_the_parts_of_a_key_id() -> None:
    assert identifiers.parse_key_id("signed_curve25519:AAA:B") == ("signed_curve25519", "AAA:B")
    with pytest.raises(MatrixError, match="M_INVALID_PARAM"):
        identifiers.parse_key_id("AAA")


def test_content_uris() -> None:
    assert identifiers.parse_mxc_uri("mxc://example.org:80/a_-9") == ("example.org:80", "a_-9")


@pytest.mark.parametrize(
    "uri",
    [
        "mxc://127.0.0.1/../../some_service/etc/passwd",
        "mxc://example.org/",
        "mxc://example.org",
        "mxc:///a",
        "mxc://exa mple.org/a",
        "mxc://example.org/a/b",
        "mxc://example.org/a?b",
        "http://example.org/a",
        None,
    ],
)
def test_content_uris_that_would_lead_elsewhere_are_refused(uri: object) -> None:
    with pytest.raises(MatrixError, match="M_INVALID_PARAM"):
        identifiers.parse_mxc_uri(uri)


def test_ids_without_domain_have_an_empty_one() -> None:
    assert identifiers.domain_of("!" + HASH) == ""


def test_an_error_repeats_only_a_little_of_what_was_sent() -> None:
    with pytest.raises(MatrixError) as caught:
        identifiers.parse_user_id("x" * 100_000)
    assert len(caught.value.error) < 200


@given(st.text(max_size=300))
def test_short_text_is_what_fits_and_can_be_stored(value: str) -> None:
    try:
        expected = len(value.encode()) <= 255 and "\0" not in value
    except UnicodeEncodeError:
        expected = False
    assert identifiers.is_short(value) is expected


@given(st.lists(st.one_of(st.text(max_size=3), st.sampled_from(["x" * 255, "x" * 256, "ü" * 128, "a\0", "\ud800"]))))
def test_device_ids_are_taken_together_as_each_alone(device_ids: list[str]) -> None:
    assert identifiers.are_device_ids(device_ids) == all(map(identifiers.is_device_id, device_ids))
