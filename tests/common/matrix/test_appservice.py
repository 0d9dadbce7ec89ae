"""What is a service's: its namespaces, its own user, what is reserved, what it hears of."""

from hypothesis import given
from hypothesis import strategies as st

from hs_common.matrix.appservice import (
    Namespace,
    Registration,
    Service,
    Services,
    decode_registration,
    encode_registration,
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
