"""Requests to other servers, at a real server on loopback with TLS."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import deferLater

from hs_common.config.federation import Federation
from hs_common.federation.back_off import FIRST_S, LONGEST_S, MemoryBackOff
from hs_common.federation.client import FederationClient, Identity, path
from hs_common.federation.discovery import Discovery, parse_overrides
from hs_common.federation.domains import Domains
from hs_common.federation.failures import AnsweredError, BackingOff, BadAnswer, NotFederating, ServerUnreachable
from hs_common.federation.srv import Record
from hs_common.federation.well_known import WellKnown
from hs_common.http.egress.connection import Limits
from hs_common.http.egress.trust import Trust
from hs_common.matrix.request_signing import parse_authorization, signed_bytes
from hs_common.matrix.signing import SigningKey
from tests.certificates import Authority
from tests.common.http.egress.outside import OutsideServer, Talk, answer, asking, outside
from tests.reactor import reactor, run

KEY = SigningKey("1", bytes(32))


class NoServices:
    async def records(self, name: str) -> list[Record]:
        return []


@asynccontextmanager
async def federating(
    script: Callable[[bytes, Talk], None], tmp_path: Path, config: Federation | None = None
) -> AsyncIterator[tuple[OutsideServer, FederationClient]]:
    """A server b.example, and a.example that asks it."""
    authority = Authority(tmp_path)
    trust = Trust(str(authority.ca_file))
    async with outside(script, authority.issue("b.example")) as server, asking(trust=trust, allow=()) as egress:
        overrides = parse_overrides([f"b.example=127.0.0.1:{server.port}", f"c.example=127.0.0.1:{server.port}"])
        discovery = Discovery(WellKnown(egress, lambda: 0.0), NoServices(), lambda: 0.5, overrides)
        domains = Domains(config or Federation(), "a.example")
        back_off = MemoryBackOff(lambda: 0.0, lambda: 0.5)
        yield server, FederationClient(Identity("a.example", KEY), domains, discovery, egress, back_off)


def ask(data: bytes, tmp_path: Path, limits: Limits | None = None) -> Any:
    async def play() -> Any:
        async with federating(lambda request, talk: talk.write(data), tmp_path) as (_, client):
            return await client.get("b.example", "/x", limits=limits or Limits())

    return run(play())


def test_requests_are_signed_for_the_destination(tmp_path: Path) -> None:
    async def play() -> None:
        async with federating(lambda request, talk: talk.write(answer(b'{"a":1}')), tmp_path) as (server, client):
            assert await client.get("b.example", path("/e/{}", "$a/b"), {"v": ["1", "2"], "x": "ä"}) == {"a": 1}
            assert await client.put("b.example", "/put", {"b": 2, "a": [1]}) == {"a": 1}
            got, put = server.requests
            assert got.startswith(b"GET /e/%24a%2Fb?v=1&v=2&x=%C3%A4 HTTP/1.1\r\nHost: b.example\r\n")
            assert put.endswith(b'{"a":[1],"b":2}')
            for request, method, content in ((got, "GET", None), (put, "PUT", b'{"a":[1],"b":2}')):
                header = next(line[15:] for line in request.split(b"\r\n") if line.startswith(b"Authorization: "))
                claim = parse_authorization(header.decode())
                uri = request.split(b" ", 2)[1].decode()
                assert (claim.origin, claim.destination) == ("a.example", "b.example")
                assert KEY.verify_key.verify_bytes(
                    signed_bytes(method, uri, "a.example", "b.example", content), claim.signature
                )

    run(play())


def test_errors_of_the_other_server_are_passed_on(tmp_path: Path) -> None:
    refused = answer(b'{"errcode":"M_FORBIDDEN","error":"No"}', 403)
    with pytest.raises(AnsweredError) as error:
        ask(refused, tmp_path)
    assert (error.value.status, error.value.errcode, error.value.error) == (403, "M_FORBIDDEN", "No")
    assert error.value.for_client().status == 403
    with pytest.raises(AnsweredError) as error:
        ask(answer(b"<html>", 502), tmp_path)
    assert (error.value.errcode, error.value.for_client().status) == ("M_UNKNOWN", 502)


@pytest.mark.parametrize("body", [b"", b"1", b'"a"', b"{", b"[" * 500 + b"]" * 500, b" " * 2000 + b"{}"])
def test_bad_answers(body: bytes, tmp_path: Path) -> None:
    with pytest.raises(BadAnswer):
        ask(answer(body), tmp_path, Limits(body_bytes=1000))


def test_whom_the_config_forbids_is_not_asked(tmp_path: Path) -> None:
    async def play() -> None:
        for config in (
            Federation(enabled=False),
            Federation(deny=("b.example",)),
            Federation(allow=("*.b.example", "c.example")),
        ):
            async with federating(lambda request, talk: talk.write(answer()), tmp_path, config) as (server, client):
                with pytest.raises(NotFederating):
                    await client.get("b.example", "/x")
                assert server.connections == 0

    run(play())


def test_who_is_away_is_left_alone_until_it_shows_itself(tmp_path: Path) -> None:
    async def play() -> None:
        async with federating(lambda request, talk: talk.write(answer()), tmp_path) as (server, client):
            with pytest.raises(ServerUnreachable) as error:  # the certificate is that of b.example
                await client.get("c.example", "/x")
            assert error.value.kind == "tls"
            with pytest.raises(BackingOff):
                await client.get("c.example", "/x")
            assert server.connections == 1
            client.back_off.alive("c.example")
            with pytest.raises(ServerUnreachable):
                await client.get("c.example", "/x")

    run(play())


def test_finding_a_server_counts_as_a_part_of_the_time(tmp_path: Path) -> None:
    class Lost:
        async def places(self, server_name: str) -> list[Any]:
            return await deferLater(reactor, 30.0, list)

    async def play() -> None:
        unused: Any = None
        lost: Any = Lost()
        back_off = MemoryBackOff(lambda: 0.0, lambda: 0.5)
        domains = Domains(Federation(), "a.example")
        client = FederationClient(Identity("a.example", KEY), domains, lost, unused, back_off, reactor)
        with pytest.raises(ServerUnreachable) as error:
            await client.get("b.example", "/x", limits=Limits(total_s=0.1))
        assert error.value.kind == "timeout"
        with pytest.raises(BackingOff):
            await client.get("b.example", "/x")

    run(play())


def test_who_was_not_given_the_time_to_answer_is_not_left_alone(tmp_path: Path) -> None:
    async def play() -> None:
        async with federating(lambda request, talk: None, tmp_path) as (server, client):
            hurried = Limits(total_s=0.2, idle_s=0.2, hurried=True)
            for connections in (1, 2):
                with pytest.raises(ServerUnreachable) as error:
                    await client.get("b.example", "/x", limits=hurried)
                assert error.value.kind == "timeout"
                assert server.connections == connections
            with pytest.raises(ServerUnreachable) as error:  # what is wrong at once is so whoever asks
                await client.get("c.example", "/x", limits=Limits(hurried=True))
            with pytest.raises(BackingOff):
                await client.get("c.example", "/x", limits=hurried)

    run(play())


def test_back_off_grows_and_ends() -> None:
    now = [0.0]
    back_off = MemoryBackOff(lambda: now[0], lambda: 0.5)
    waits = []
    for _ in range(8):
        back_off.failed("a", "connect")
        with pytest.raises(BackingOff) as error:
            back_off.check("a")
        waits.append(error.value.seconds)
        now[0] += error.value.seconds
        back_off.check("a")
    assert waits[:3] == [FIRST_S, FIRST_S * 3, FIRST_S * 9]
    assert waits[-1] == LONGEST_S
    back_off.failed("a", "unavailable", 30.0)
    back_off.alive("a")
    back_off.check("a")


@pytest.mark.parametrize(
    ("server", "may"),
    [("a.example", True), ("sub.b.example:8448", True), ("b.example", False), ("bad.a.example", False), ("a b", False)],
)
def test_domains(server: str, may: bool) -> None:
    domains = Domains(
        Federation(allow=("A.example", "*.b.example", "bad.a.example"), deny=("bad.*", "bad.a.example")), "x"
    )
    assert domains.may_talk(server) is may


def test_a_server_does_not_talk_with_itself() -> None:
    assert not Domains(Federation(), "a.example").may_talk("a.example")
