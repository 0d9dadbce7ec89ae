"""A port that speaks TLS itself, and goes on with a renewed certificate."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.protocol import Factory, Protocol

from hs_common.http.egress.client import Purpose
from hs_common.http.egress.failures import NotTrusted
from hs_common.http.egress.trust import Trust
from hs_common.http.tls import LOOK_AGAIN_S, CertificateFiles
from tests.certificates import Authority
from tests.common.http.egress.outside import asking
from tests.reactor import reactor, run


class _Page(Protocol):
    """Answers whatever comes."""

    transport: Any

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")


def test_a_renewed_certificate_is_used_and_a_broken_one_is_not(tmp_path: Path) -> None:
    now = [0.0]
    authority = Authority(tmp_path)
    first, second = authority.issue("first.example"), authority.issue("second.example")
    used = tmp_path / "used.pem"
    key = tmp_path / "used.key"
    shutil.copy(first.certificate, used)
    shutil.copy(first.key, key)
    files = CertificateFiles(str(used), str(key), lambda: now[0])
    factory = Factory.forProtocol(_Page)
    listening = files.wrap(factory)
    assert isinstance(listening, Factory)

    async def play() -> None:
        port = reactor.listenTCP(0, listening, interface="127.0.0.1")
        number = port.getHost().port
        names = {"first.example": ["127.0.0.1"], "second.example": ["127.0.0.1"]}
        async with asking(names=names, trust=Trust(str(authority.ca_file))) as client:

            async def get(name: str) -> int:
                return (await client.fetch(Purpose.PREVIEW, "GET", f"https://{name}:{number}/")).status

            assert await get("first.example") == 200
            used.write_text("broken")
            now[0] += LOOK_AGAIN_S
            assert await get("first.example") == 200
            shutil.copy(second.certificate, used)
            shutil.copy(second.key, key)
            now[0] += LOOK_AGAIN_S
            assert await get("second.example") == 200
            with pytest.raises(NotTrusted):
                await get("first.example")
        await port.stopListening()

    run(play())
