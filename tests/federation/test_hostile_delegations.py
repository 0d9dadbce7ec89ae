"""A hostile domain is asked a few times for little, learns nothing of what is inside, and holds nobody else up."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred

from hs_common.federation import well_known
from hs_common.federation.well_known import WellKnown
from hs_common.http.egress.trust import Trust
from tests.certificates import Authority
from tests.common.http.egress.outside import OutsideServer, Script, answer, asking, outside
from tests.federation.hostile.delegations import DOMAIN, GOOD, INSIDE, PLAYS
from tests.reactor import reactor, run

HONEST = "honest.example"
NAMES = {DOMAIN: ["127.0.0.1"], HONEST: ["127.0.0.1"], INSIDE: ["192.168.0.1"]}


@asynccontextmanager
async def domains(folder: Path, script: Script) -> AsyncIterator[tuple[WellKnown, OutsideServer, OutsideServer]]:
    """Who asks, the hostile domain, and an honest one."""
    authority = Authority(folder)
    files = authority.issue(DOMAIN, HONEST)
    async with (
        outside(script, files) as evil,
        outside(lambda request, talk: talk.write(answer(GOOD)), files) as honest,
        asking(names=NAMES, trust=Trust(str(authority.ca_file))) as client,
    ):
        yield WellKnown(client, reactor.seconds), evil, honest


@pytest.mark.parametrize("name", PLAYS)
def test_it_delegates_to_nobody(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(well_known, "LIMITS", replace(well_known.LIMITS, total_s=1.5, idle_s=1.0))

    async def play() -> None:
        async with domains(tmp_path, PLAYS[name]()) as (known, evil, honest):
            asked = [Deferred.fromCoroutine(known.delegated(f"{DOMAIN}:{evil.port}")) for _ in range(20)]
            assert await known.delegated(f"{HONEST}:{honest.port}") == "there.example:8448", "others need not wait"
            assert [await one for one in asked] == [None] * 20
            assert 1 <= len(evil.requests) <= well_known.LIMITS.redirects + 1, "twenty who ask, and it is asked once"
            requests = len(evil.requests)
            assert await known.delegated(f"{DOMAIN}:{evil.port}") is None
            assert len(evil.requests) == requests, "nor is it asked again for a while"

    run(play(), timeout=60)


def test_a_few_redirects_are_followed(tmp_path: Path) -> None:
    """As the specification wants it, or no honest domain could move."""

    async def play() -> None:
        async with domains(tmp_path, lambda request, talk: None) as (known, evil, honest):
            evil.script = lambda request, talk: talk.write(
                answer(b"", 302, f"Location: https://{HONEST}:{honest.port}/.well-known/matrix/server")
            )
            assert await known.delegated(f"{DOMAIN}:{evil.port}") == "there.example:8448"

    run(play(), timeout=60)
