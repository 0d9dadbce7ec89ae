"""An endpoint's facts are data on its method."""

import pytest

from hs_common.http.endpoint import Auth, Rate, declarations_of, endpoint, r0, unstable, v1
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.http.router import declared_endpoints

PATH = "/_matrix/client/v3/rooms/{roomId}/join"


class Joining:
    @endpoint("POST", PATH, auth=Auth.USER, rate=Rate.JOIN, aliases=(r0, v1, "/_matrix/old/{roomId}"), spec="#join")
    async def join(self, request: Request) -> Reply:
        return {}

    @endpoint("GET", "/one", auth=Auth.NONE, spec="#one")
    @endpoint("GET", "/two", auth=Auth.NONE, spec="#two", reads=False, suspended_ok=False)
    @endpoint("GET", "/three", auth=Auth.NONE, spec="#three", waits=True)
    async def several(self, request: Request) -> Reply:
        return {}

    async def no_endpoint(self, request: Request) -> Reply:
        return {}


def test_a_class_lists_its_endpoints_as_they_are_written() -> None:
    found = [(name, declaration.path) for name, declaration in declarations_of(Joining)]
    assert found == [("join", PATH), ("several", "/one"), ("several", "/two"), ("several", "/three")]
    assert [declaration.path for declaration in declared_endpoints([Joining, object])] == [path for _, path in found]


def test_the_method_stays_what_it_was() -> None:
    assert Joining().join.__name__ == "join"


def test_aliases_are_templates_or_made_from_the_path() -> None:
    join = next(declared_endpoints([Joining]))
    assert join.templates == (
        PATH,
        "/_matrix/client/r0/rooms/{roomId}/join",
        "/_matrix/client/v1/rooms/{roomId}/join",
        "/_matrix/old/{roomId}",
    )
    assert unstable()(PATH) == "/_matrix/client/unstable/rooms/{roomId}/join"
    assert unstable("org.example.msc1")(PATH) == "/_matrix/client/unstable/org.example.msc1/rooms/{roomId}/join"


def test_an_alias_of_a_path_without_a_version_is_a_mistake() -> None:
    with pytest.raises(AssertionError):
        r0("/_matrix/client/versions")


def test_reads_wait_for_the_barrier_and_may_be_made_while_suspended_unless_said_otherwise() -> None:
    join, one, two, three = declared_endpoints([Joining])
    assert (join.reads, join.suspended_ok) == (False, False)
    assert (one.reads, one.suspended_ok) == (True, True)
    assert (two.reads, two.suspended_ok) == (False, False)
    assert (three.reads, three.waits) == (False, True)
