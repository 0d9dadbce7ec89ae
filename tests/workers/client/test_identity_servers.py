"""Identity servers: what they are asked, by whom it is signed, and what their answers mean to the client."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from hs_common.http.egress.trust import Trust
from hs_common.matrix.canonical_json import encode
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.signing import SigningKey, verify_bytes
from hs_workers.client.accounts.identity_servers import IdentityServers
from tests.certificates import Authority
from tests.common.http.egress.outside import OutsideServer, Talk, answer, asking, outside
from tests.reactor import run
from tests.workers.client.conftest import Play
from tests.workers.client.world import World, with_password

KEY = SigningKey("1", b"s" * 32)
HOST = "id.example.org"


@dataclass
class IdentityServer:
    """What the next requests are answered, and what was asked: (first line, headers, body)."""

    answers: list[tuple[int, Any]] = field(default_factory=list)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    name: str = ""

    def script(self, request: bytes, talk: Talk) -> None:
        head, _, body = request.decode().partition("\r\n\r\n")
        first, _, headers = head.partition("\r\n")
        self.asked.append((first.removesuffix(" HTTP/1.1"), headers, orjson.loads(body) if body else None))
        status, said = self.answers.pop(0)
        talk.write(answer(said if isinstance(said, bytes) else orjson.dumps(said), status))


@asynccontextmanager
async def identity_server(
    folder: Path, *answers: tuple[int, Any], trusted: tuple[str, ...] = ()
) -> AsyncIterator[tuple[IdentityServers, IdentityServer]]:
    authority = Authority(folder)
    there = IdentityServer(list(answers))
    server: OutsideServer
    async with outside(there.script, authority.issue(HOST)) as server:
        there.name = f"{HOST}:{server.port}"
        async with asking(names={HOST: ["127.0.0.1"]}, trust=Trust(str(authority.ca_file))) as egress:
            yield IdentityServers(egress, trusted, "example.org", KEY), there


def test_publishing(tmp_path: Path) -> None:
    async def scenario() -> None:
        said = {"medium": "email", "address": "a@b", "mxid": "@alice:example.org"}
        async with identity_server(tmp_path, (200, said)) as (servers, there):
            assert await servers.bind(there.name, "token", "1", "s", "@alice:example.org") == ("email", "a@b")
        [(line, headers, body)] = there.asked
        assert line == "POST /_matrix/identity/v2/3pid/bind"
        assert "Authorization: Bearer token" in headers
        assert body == {"sid": "1", "client_secret": "s", "mxid": "@alice:example.org"}

    run(scenario())


def test_taking_back_is_signed_by_this_server(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with identity_server(tmp_path, (200, {})) as (servers, there):
            assert await servers.unbind(there.name, "@alice:example.org", "email", "a@b")
        [(line, headers, body)] = there.asked
        assert line == "POST /_matrix/identity/v2/3pid/unbind"
        assert body == {"mxid": "@alice:example.org", "threepid": {"medium": "email", "address": "a@b"}}
        fields = dict(re.findall(r'(\w+)="([^"]*)"', headers.partition("X-Matrix ")[2]))
        assert (fields["origin"], fields["destination"], fields["key"]) == ("example.org", there.name, "ed25519:1")
        signed = {
            "method": "POST",
            "uri": line[5:],
            "origin": "example.org",
            "destination": there.name,
            "content": body,
        }
        verify_bytes(
            encode(signed), {"example.org": {"ed25519:1": fields["sig"]}}, "example.org", {"ed25519:1": KEY.verify_key}
        )

    run(scenario())


@pytest.mark.parametrize(
    ("status", "said", "outcome"),
    [(404, {"errcode": "M_UNRECOGNIZED"}, False), (501, b"no", False), (400, b"no", False), (403, b"", False),
     (400, {"errcode": "M_INVALID_PARAM", "error": "x"}, "M_INVALID_PARAM"),
     (403, {"errcode": "M_FORBIDDEN", "error": "x"}, "M_FORBIDDEN")],
)  # fmt: skip
def test_identity_servers_that_take_nothing_back(tmp_path: Path, status: int, said: Any, outcome: Any) -> None:
    async def scenario() -> Any:
        async with identity_server(tmp_path, (status, said)) as (servers, there):
            try:
                return await servers.unbind(there.name, "@alice:example.org", "email", "a@b")
            except MatrixError as error:
                return error.errcode

    assert run(scenario()) == outcome


def test_whose_an_address_is(tmp_path: Path) -> None:
    async def scenario() -> None:
        details = {"lookup_pepper": "matrixrocks", "algorithms": ["none", "sha256"]}
        # The example of the specification.
        hashed = "4kenr7N9drpCJ4AfalmlGQVsOn3o2RHjkADUpXJWZUc"
        found = (200, {"mappings": {hashed: "@alice:example.org"}})
        plain = {**details, "algorithms": ["none"]}
        async with identity_server(
            tmp_path, (200, details), found, (200, details), (200, {"mappings": {}}), (200, plain), found
        ) as (servers, there):
            lookup = (there.name, "token", "email", "alice@example.com")
            assert await servers.lookup(*lookup) == "@alice:example.org"
            assert await servers.lookup(*lookup) is None
            assert await servers.lookup(*lookup) is None
        assert there.asked[1][2] == {"addresses": [hashed], "algorithm": "sha256", "pepper": "matrixrocks"}
        assert there.asked[5][2]["addresses"] == ["alice@example.com email"]

    run(scenario())


def test_keeping_an_invitation(tmp_path: Path) -> None:
    async def scenario() -> None:
        said = {"token": "t", "public_keys": [], "display_name": "a...@b..."}
        async with identity_server(tmp_path, (200, said), (200, {})) as (servers, there):
            invite = {"medium": "email", "address": "a@b", "room_id": "!r", "sender": "@a:b"}
            assert await servers.store_invite(there.name, "token", invite) == said
            assert there.asked[0][::2] == ("POST /_matrix/identity/v2/store-invite", invite)
            with pytest.raises(MatrixError) as raised:
                await servers.store_invite(there.name, "token", invite)
            assert raised.value.status == 502

    run(scenario())


def test_errors_are_passed_on_but_nobody_is_logged_out(tmp_path: Path) -> None:
    async def scenario() -> None:
        unknown = (401, {"errcode": "M_UNAUTHORIZED", "error": "who?"})
        async with identity_server(tmp_path, unknown, (500, b""), (200, b"[]")) as (servers, there):
            bind = (there.name, "token", "1", "s", "@a:example.org")
            errors = []
            for _ in range(3):
                with pytest.raises(MatrixError) as raised:
                    await servers.bind(*bind)
                errors.append((raised.value.status, raised.value.errcode))
            assert errors == [(403, "M_UNAUTHORIZED"), (502, "M_UNKNOWN"), (502, "M_UNKNOWN")]
            with pytest.raises(MatrixError) as raised:
                await servers.bind("elsewhere.example", *bind[1:])
            assert (raised.value.status, raised.value.errcode) == (502, "M_UNKNOWN")

    run(scenario())


def test_who_is_not_asked(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with identity_server(tmp_path, trusted=("matrix.org",)) as (servers, there):
            for name, token, errcode in (
                (there.name, "token", "M_SERVER_NOT_TRUSTED"),
                ("no name/", "token", "M_SERVER_NOT_TRUSTED"),
                ("matrix.org", "to\r\nken", "M_INVALID_PARAM"),
            ):
                with pytest.raises(MatrixError) as raised:
                    await servers.bind(name, token, "1", "s", "@a:example.org")
                assert raised.value.errcode == errcode

    run(scenario())


class Directory:
    """Identity servers by what they were told."""

    def __init__(self) -> None:
        self.bound: set[tuple[str, ...]] = set()
        self.takes_back = True

    async def bind(self, id_server: str, access_token: str, sid: str, secret: str, user_id: str) -> tuple[str, str]:
        self.bound.add((id_server, user_id, "email", "Alice@example.org"))
        return "email", "Alice@example.org"

    async def unbind(self, id_server: str, user_id: str, medium: str, address: str) -> bool:
        if not self.takes_back:
            raise MatrixError(403, "M_FORBIDDEN", "no")
        self.bound = {one for one in self.bound if one[:2] != (id_server, user_id)}
        return True


def test_what_a_user_published_is_taken_back(play: Play) -> None:
    directory = Directory()

    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        address = {"medium": "email", "address": "alice@Example.org"}

        async def bind(id_server: str) -> None:
            body = {"client_secret": "s", "sid": "1", "id_server": id_server, "id_access_token": "t"}
            assert (await world.ask("POST", "/account/3pid/bind", body, token)).json == {}

        async def result(path: str, **more: str) -> str:
            answer = await world.ask("POST", f"/account/3pid/{path}", {**address, **more}, token)
            return str(answer.json.get("id_server_unbind_result", answer.errcode))

        assert await result("unbind") == "no-support"
        await bind("one.example")
        await bind("two.example")
        assert await result("unbind", id_server="one.example") == "success"
        assert len(directory.bound) == 1
        assert await result("delete") == "success"
        assert directory.bound == set()
        assert await result("unbind") == "no-support"
        await bind("one.example")
        directory.takes_back = False
        assert await result("unbind") == "M_FORBIDDEN"
        gone = await world.ask("POST", "/account/deactivate", {"auth": with_password()}, token)
        assert gone.json == {"id_server_unbind_result": "no-support"}

    play(scenario, {"identity_servers": directory})
