"""Encrypted connections go to whom we mean, and to nobody else."""

from pathlib import Path

import pytest

from hs_common.http.egress.client import Purpose
from hs_common.http.egress.failures import NotTrusted
from hs_common.http.egress.trust import Trust
from tests.certificates import Authority
from tests.common.http.egress.outside import answer, asking, outside
from tests.reactor import run

_NAMES = {"good.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]}


def test_a_certificate_must_be_for_the_name_and_by_an_authority(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    files = authority.issue("good.example", "127.0.0.1")
    ours = Trust(str(authority.ca_file))

    async def play() -> None:
        async with outside(lambda request, talk: talk.write(answer()), files) as server:
            async with asking(names=_NAMES, trust=ours) as client:
                for host in ("good.example", "127.0.0.1"):
                    url = f"https://{host}:{server.port}/"
                    assert (await client.fetch(Purpose.PREVIEW, "GET", url)).status == 200
                with pytest.raises(NotTrusted):
                    await client.fetch(Purpose.PREVIEW, "GET", f"https://other.example:{server.port}/")
            async with asking(names=_NAMES, trust=Trust()) as client:
                with pytest.raises(NotTrusted):
                    await client.fetch(Purpose.PREVIEW, "GET", f"https://good.example:{server.port}/")
            assert len(server.requests) == 2
            async with asking(names=_NAMES, trust=Trust(verify=False)) as client:
                found = await client.fetch(Purpose.PREVIEW, "GET", f"https://other.example:{server.port}/")
                assert found.status == 200

    run(play())
