"""What is a service's: its namespaces, its own user, what is reserved, what it hears of."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hs_common.matrix import appservice
from hs_common.matrix.appservice import (
    BadRegistration,
    Namespace,
    Registration,
    Service,
    Services,
    decode_registration,
    encode_registration,
    parse_registration,
)

IRC = Registration(
    id="irc",
    url="http://localhost",
    sender_localpart="ircbot",
    users=(Namespace("@irc_.*:example.org", True), Namespace("@guest_", False)),
    aliases=(Namespace("#irc_", True),),
    rooms=(Namespace("!portal", False),),
)


def test_only_users_of_this_server_are_in_a_namespace() -> None:
    service = Service(IRC, "example.org")
    assert service.has_user("@irc_a:example.org")
    assert service.has_user("@guest_a:example.org")
    assert service.has_user("@ircbot:example.org")
    assert not service.has_user("@irc_a:elsewhere.org")
    assert not service.has_user("@alice:example.org")
    assert not service.has_user("@x@irc_a:example.org")


def test_only_exclusive_namespaces_and_the_own_user_are_reserved() -> None:
    service = Service(IRC, "example.org")
    assert service.owns_user("@irc_a:example.org")
    assert service.owns_user("@ircbot:example.org")
    assert not service.owns_user("@guest_a:example.org")
    assert service.owns_alias("#irc_a:example.org")
    assert not service.owns_alias("#irc_a:elsewhere.org")
    assert service.has_room("!portal1:example.org")


def test_services_without_url_own_what_is_theirs_and_hear_of_nothing() -> None:
    silent = Registration(id="silent", url=None, sender_localpart="s", users=(Namespace("@s_.*", True),))
    services = Services([Service(silent, "example.org")])
    assert not services.anyone_listens
    assert services.interested_in_user("@s_1:example.org") == ()
    assert [one.id for one in services.owners_of_user("@s_1:example.org")] == ["silent"]
    both = services.replaced("irc", Service(IRC, "example.org"))
    assert both.interested_in_user("@irc_1:example.org") == ("irc",)
    assert both.interested_in_alias("#irc_1:example.org") == ("irc",)
    assert both.interested_in_room("!portal:x") == ("irc",)
    assert both.is_listening("irc")
    assert not both.is_listening("silent")
    assert both.replaced("irc", None).get("irc") is None
    assert both.get(None) is None


texts = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=20)
namespaces = st.lists(st.builds(Namespace, st.sampled_from(["@a.*", "#b", "!c", "@[0-9]+"]), st.booleans())).map(tuple)
registrations = st.builds(
    Registration,
    id=texts,
    url=st.none() | texts,
    sender_localpart=texts,
    users=namespaces,
    aliases=namespaces,
    rooms=namespaces,
    rate_limited=st.booleans(),
    protocols=st.lists(texts).map(tuple),
    receive_ephemeral=st.booleans(),
    device_management=st.booleans(),
)


@given(registrations)
def test_a_registration_is_kept_as_it_was(registration: Registration) -> None:
    assert decode_registration(encode_registration(registration)) == registration


@given(registrations, st.sampled_from(["@a1:s", "@5:s", "@zz:s", "@a:t"]))
def test_what_is_reserved_is_in_the_namespace(registration: Registration, user_id: str) -> None:
    service = Service(registration, "s")
    assert service.has_user(user_id) or not service.owns_user(user_id)


GIVEN: dict[str, Any] = {"id": "irc", "as_token": "as", "hs_token": "hs", "sender_localpart": "bot", "url": None}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "a mapping of keys"),
        (GIVEN | {"namespaces": ["x"]}, "`namespaces` must be a mapping"),
        (GIVEN | {"namespaces": {"users": "x"}}, "`namespaces.users` must be a list"),
        (GIVEN | {"namespaces": {"rooms": [{"exclusive": True}]}}, "`regex`"),
        (GIVEN | {"namespaces": {"aliases": [{"regex": "("}]}}, "is no expression"),
        (GIVEN | {"id": ""}, "`id` must be a text"),
        (GIVEN | {"as_token": True}, "`as_token` must be a text"),
        (GIVEN | {"hs_token": "a\0"}, "none of them NUL"),
        (GIVEN | {"url": "ftp://localhost"}, "`url` must begin with"),
        (GIVEN | {"rate_limited": "no"}, "`rate_limited` must be true or false"),
        (GIVEN | {"protocols": ["irc", ""]}, "`protocols` must be a list"),
    ],
)
def test_a_registration_that_cannot_be_used_is_told_what_is_wrong(given: object, words: str) -> None:
    with pytest.raises(BadRegistration, match=re.escape(words)):
        parse_registration(given)


def test_ids_of_digits_are_texts() -> None:
    registration, tokens = parse_registration(GIVEN | {"id": 7, "hs_token": 12})
    assert (registration.id, tokens.hs_token) == ("7", "12")


def test_devices_are_told_of_to_who_listens_for_them() -> None:
    deaf = Service(IRC, "example.org")
    hearing = Service(replace(IRC, id="hearing", receive_ephemeral=True), "example.org")
    services = Services([deaf, hearing])
    assert services.interested_in_user("@irc_a:example.org") == ("irc", "hearing")
    assert services.told_of_devices("@irc_a:example.org") == ("hearing",)
    assert services.told_of_devices("@alice:example.org") == ()


def test_an_alias_has_the_owners_that_reserve_it() -> None:
    services = Services([Service(IRC, "example.org")])
    assert [one.id for one in services.owners_of_alias("#irc_a:example.org")] == ["irc"]
    assert services.owners_of_alias("#other:example.org") == []


def test_remembered_users_are_bounded_and_forgetting_them_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appservice, "REMEMBERED_USERS_LIMIT", 2)
    services = Services([Service(IRC, "example.org")])
    for _ in range(2):
        for number in range(5):
            assert services.interested_in_user(f"@irc_{number}:example.org") == ("irc",)
