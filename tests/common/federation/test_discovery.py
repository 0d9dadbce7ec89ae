"""Where servers are: each step of the specification, and what is kept for how long."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hs_common.federation.discovery import Discovery, Place, parse_overrides
from hs_common.federation.srv import KeptServiceLookup, Record, in_order
from hs_common.federation.well_known import DEFAULT_S, LONGEST_S, SHORTEST_S, WellKnown, lifetime_s, parse_delegation
from hs_common.http.egress.client import Fetched
from hs_common.http.egress.connecting import Target
from hs_common.http.egress.failures import NotConnected
from tests.reactor import run


class Web:
    """The web servers of all domains."""

    def __init__(self, answers: dict[str, Fetched | None]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def fetch(self, purpose: object, method: str, url: str, limits: object) -> Fetched:
        self.asked.append(url)
        answer = self.answers.get(url.removeprefix("https://").removesuffix("/.well-known/matrix/server"))
        if answer is None:
            raise NotConnected(url)
        return answer


class Services:
    """All SRV records."""

    def __init__(self, found: dict[str, Sequence[Record]]) -> None:
        self.found = found
        self.asked: list[str] = []

    async def records(self, name: str) -> Sequence[Record]:
        self.asked.append(name)
        return self.found.get(name, ())


def says(server: str, *headers: tuple[bytes, bytes], status: int = 200) -> Fetched:
    return Fetched(status, list(headers), b'{"m.server":"%s"}' % server.encode(), "")


def record(host: str, port: int = 1, priority: int = 1, weight: int = 1, ttl_s: float = 100.0) -> Record:
    return Record(priority, weight, host, port, ttl_s)


WEB = Web(
    {
        "to-ip.example": says("10.0.0.1"),
        "to-ip6.example": says("[fd00::1]:99"),
        "to-port.example": says("there.example:443"),
        "to-name.example": says("there.example"),
        "to-srv.example": says("fed.example"),
        "to-old-srv.example": says("old.example"),
        "bad.example": says("a b"),
        "missing.example": says("there.example", status=404),
    }
)
SERVICES = Services(
    {
        "_matrix-fed._tcp.fed.example": [record("host.fed.example", 10), record("host2.fed.example", 11, 2)],
        "_matrix._tcp.fed.example": [record("wrong.example")],
        "_matrix._tcp.old.example": [record("host.old.example", 12)],
    }
)


def places(name: str, **options: object) -> list[Place]:
    discovery = Discovery(WellKnown(WEB, lambda: 0.0), SERVICES, lambda: 0.5, **options)  # type: ignore[arg-type]
    return run(discovery.places(name))


@pytest.mark.parametrize(
    ("name", "host", "port", "tls_name", "host_header"),
    [
        ("1.2.3.4", "1.2.3.4", 8448, "1.2.3.4", "1.2.3.4"),
        ("1.2.3.4:5", "1.2.3.4", 5, "1.2.3.4", "1.2.3.4:5"),
        ("[::1]", "::1", 8448, "::1", "[::1]"),
        ("[::1]:5", "::1", 5, "::1", "[::1]:5"),
        ("a.example:80", "a.example", 80, "a.example", "a.example:80"),
        ("to-ip.example", "10.0.0.1", 8448, "10.0.0.1", "10.0.0.1"),
        ("to-ip6.example", "fd00::1", 99, "fd00::1", "[fd00::1]:99"),
        ("to-port.example", "there.example", 443, "there.example", "there.example:443"),
        ("to-name.example", "there.example", 8448, "there.example", "there.example"),
        ("to-srv.example", "host.fed.example", 10, "fed.example", "fed.example"),
        ("to-old-srv.example", "host.old.example", 12, "old.example", "old.example"),
        ("fed.example", "host.fed.example", 10, "fed.example", "fed.example"),
        ("old.example", "host.old.example", 12, "old.example", "old.example"),
        ("bad.example", "bad.example", 8448, "bad.example", "bad.example"),
        ("missing.example", "missing.example", 8448, "missing.example", "missing.example"),
        ("plain.example", "plain.example", 8448, "plain.example", "plain.example"),
    ],
)
def test_each_step(name: str, host: str, port: int, tls_name: str, host_header: str) -> None:
    assert places(name)[0] == Place(Target(host, port, tls_name), host_header)


def test_all_records_are_places() -> None:
    assert [place.target.host for place in places("fed.example")] == ["host.fed.example", "host2.fed.example"]


def test_the_operator_knows_better() -> None:
    overrides = parse_overrides(["a.example=127.0.0.1:4433", "b.example:80=[::1]:4434"])
    asked = len(WEB.asked)
    assert places("a.example", overrides=overrides) == [
        Place(Target("127.0.0.1", 4433, "a.example", is_vouched=True), "a.example")
    ]
    assert places("b.example:80", overrides=overrides)[0].target == Target("::1", 4434, "b.example", is_vouched=True)
    assert not places("a.example", overrides=overrides, verify=False)[0].target.is_verified
    assert len(WEB.asked) == asked


def test_delegations_are_kept_as_long_as_they_hold_and_a_while_longer_when_nobody_answers() -> None:
    now = [0.0]
    web = Web({"a.example": says("b.example", (b"Cache-Control", b"public, max-age=1000"))})
    known = WellKnown(web, lambda: now[0])  # type: ignore[arg-type]
    for seconds, asked, found in [
        (0, 1, "b.example"),
        (999, 1, "b.example"),
        (1001, 2, "b.example"),
        (2500, 3, "b.example"),  # from here on it cannot be asked
        (2559, 3, "b.example"),
        (2600, 4, "b.example"),
        (5700, 5, None),
        (5800, 5, None),
    ]:
        now[0] = float(seconds)
        if seconds == 2500:
            web.answers["a.example"] = None
        assert run(known.delegated("a.example")) == found
        assert len(web.asked) == asked, seconds


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, DEFAULT_S),
        ("public", DEFAULT_S),
        ("max-age=3600", 3600.0),
        ("no-store", SHORTEST_S),
        ("max-age=0", SHORTEST_S),
        ("max-age=999999999", LONGEST_S),
        ("private, max-age=7200, must-revalidate", 7200.0),
    ],
)
def test_how_long_an_answer_holds(header: str | None, seconds: float) -> None:
    assert lifetime_s(header) == seconds


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"m.server":1}', b'{"m.server":"a b"}', b"\xff"])
def test_bad_delegations(body: bytes) -> None:
    assert parse_delegation(Fetched(200, [], body, "")) is None


def test_records_are_kept_for_their_time() -> None:
    now = [0.0]
    services = Services({"a": [record("b", ttl_s=120.0)]})
    kept = KeptServiceLookup(services, lambda: now[0])
    for seconds, asked in [(0.0, 1), (119.0, 1), (121.0, 2)]:
        now[0] = seconds
        assert len(run(kept.records("a"))) == 1
        assert len(services.asked) == asked


@given(st.lists(st.builds(record, st.sampled_from("abc"), st.integers(1, 9), st.integers(0, 3), st.integers(0, 99))))
def test_records_are_ordered_by_priority_and_none_is_lost(records: list[Record]) -> None:
    ordered = in_order(records, lambda: 0.7)
    assert sorted(ordered, key=repr) == sorted(records, key=repr)
    assert [one.priority for one in ordered] == sorted(one.priority for one in records)
