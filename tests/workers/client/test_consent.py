"""Policies that must be accepted: by whom, where, and anew when they change."""

from pathlib import Path
from typing import Any

import pytest

from hs_common.config import ConfigError, parse
from hs_common.config.terms import Policy, Terms
from hs_common.http.consent import ConsentGate, consent_text
from hs_common.http.endpoint import Auth, EndpointDeclaration, Rate, declarations_of, endpoint
from hs_common.http.request import Requester
from hs_common.matrix.errors import MatrixError
from hs_common.replication.calls import RegisterUser, SetUserState
from tests.workers.client.conftest import Play
from tests.workers.client.world import PASSWORD, POLICY, World

BASE = "https://matrix.example.org"
TERMS = Terms(policies=(Policy(id="privacy", version="1", name="P", url="https://x"),), required=True)


class Endpoints:
    """One of each kind."""

    @endpoint("PUT", "/send", auth=Auth.USER, rate=Rate.MESSAGE, spec="#")
    async def send(self, request: Any) -> Any:
        """Guarded."""

    @endpoint("GET", "/read", auth=Auth.USER, rate=Rate.MESSAGE, spec="#")
    async def read(self, request: Any) -> Any:
        """Not."""

    @endpoint("POST", "/leave", auth=Auth.USER, spec="#")
    async def leave(self, request: Any) -> Any:
        """Neither."""


SEND, READ, LEAVE = (declaration for _, declaration in declarations_of(Endpoints))


def requester(**more: Any) -> Requester:
    return Requester("@alice:example.org", "D", b"", **more)


def is_let_through(gate: ConsentGate, declaration: EndpointDeclaration, **more: Any) -> bool:
    try:
        gate.check(declaration, requester(**more))
    except MatrixError as error:
        return (error.status, error.errcode) != (403, "M_CONSENT_NOT_GIVEN")
    return True


def test_who_has_not_accepted_may_read_and_leave() -> None:
    gate = ConsentGate(TERMS, "secret", BASE)
    assert not is_let_through(gate, SEND)
    assert not is_let_through(gate, SEND, consent="privacy:0")
    with pytest.raises(MatrixError) as raised:
        gate.check(SEND, requester())
    assert raised.value.fields["consent_uri"] == gate.url("@alice:example.org")
    assert is_let_through(gate, SEND, consent="privacy:1")
    assert is_let_through(gate, READ)
    assert is_let_through(gate, LEAVE)
    assert is_let_through(gate, SEND, app_service_id="bridge")
    assert is_let_through(gate, SEND, is_guest=True)
    assert is_let_through(ConsentGate(Terms(policies=TERMS.policies), "secret", BASE), SEND)
    assert is_let_through(ConsentGate(Terms(required=True), "secret", BASE), SEND)


def test_links_are_ours_alone() -> None:
    gate = ConsentGate(TERMS, "secret", BASE)
    proof = gate.url("@alice:example.org").partition("proof=")[2]
    assert gate.is_ours("@alice:example.org", proof)
    assert not gate.is_ours("@bob:example.org", proof)
    assert not gate.is_ours("@alice:example.org", "ü")
    assert not ConsentGate(TERMS, "", BASE).is_ours("@alice:example.org", proof)


def test_several_policies_are_one_text() -> None:
    assert consent_text({"b": "2", "a": "1"}) == "a:1 b:2"


def test_accepting_on_the_page_and_when_registering(play: Play) -> None:
    async def scenario(world: World) -> None:
        body = {"username": "alice", "password": PASSWORD, "auth": {"type": "m.login.terms"}}
        assert (await world.ask("POST", "/register", body)).status == 200
        assert world.master.of(RegisterUser)[0].consent == "privacy:1" == world.consent.current
        where = world.consent.url("@alice:example.org").removeprefix(BASE)
        page = await world.raw("GET", where)
        assert isinstance(page.body, bytes)
        assert POLICY["url"].encode() in page.body
        assert (await world.submit(where, {})).status == 200
        assert world.master.of(SetUserState) == [SetUserState(user_id="@alice:example.org", consent="privacy:1")]
        assert (await world.raw("GET", where + "0")).status == 400
        assert (await world.submit(where + "0", {})).status == 400

    cluster = {"secret": "a secret of the cluster"}
    play(scenario, terms={"policies": [POLICY], "required": True}, cluster=cluster)


def test_a_page_needs_an_address() -> None:

    with pytest.raises(ConfigError, match="public_baseurl"):
        parse({"terms": {"required": True}}, Path("/"), {})
