"""What administrators and operators do with media; deleting really deletes."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from twisted.internet.threads import deferToThread

from hs_common.http.operator_proof import HEADER, proof
from hs_common.process.commands.admin_media import media as media_command
from hs_common.process.commands.admin_media import size
from hs_common.storage import media_contents
from hs_workers.media import keeping
from hs_workers.media.administration.mentioned import media_of_event
from hs_workers.media.deleting import CLAIM_MS
from tests.common.http.served import Answer
from tests.workers.media.conftest import Playing
from tests.workers.media.object_store import ObjectStore
from tests.workers.media.pictures import picture
from tests.workers.media.world import ADMIN, BOB, NAME, SECRET, V3, World

SYNAPSE = "/_synapse/admin/v1"
OWN = "/_viaduct/admin/v1/media"
ALICE_ID = f"@alice:{NAME}"


async def admin(world: World, method: str, rest: str) -> Answer:
    return await world.served.ask(method, SYNAPSE + rest, headers=ADMIN)


async def operator(world: World, method: str, rest: str = "", body: dict[str, Any] | None = None) -> Answer:
    data = b"" if body is None else json.dumps(body).encode()
    path = OWN + rest
    headers = {HEADER: proof(SECRET, method, path, world.moment[0], data)}
    return await world.served.ask(method, path, data, headers)


async def is_there(world: World, media_id: str) -> bool:
    statuses = {(await world.download(media_id)).status, (await world.get(f"{V3}/download/{NAME}/{media_id}")).status}
    assert len(statuses) == 1, "with a token and without"
    return statuses == {200}


def test_only_administrators_may(play: Playing) -> None:
    async def scenario(world: World) -> None:
        media_id = await world.uploaded(b"x")
        for method, rest in (
            ("GET", f"/users/{ALICE_ID}/media"),
            ("DELETE", f"/users/{ALICE_ID}/media"),
            ("POST", f"/media/quarantine/{NAME}/{media_id}"),
            ("DELETE", f"/media/{NAME}/{media_id}"),
            ("POST", "/media/delete?before_ts=9999999999999"),
            ("POST", "/purge_media_cache?before_ts=9999999999999"),
            ("GET", "/statistics/users/media"),
        ):
            assert (await world.served.ask(method, SYNAPSE + rest, headers=BOB)).errcode == "M_FORBIDDEN"
            assert (await world.served.ask(method, SYNAPSE + rest)).errcode == "M_MISSING_TOKEN"
        assert (await world.served.ask("GET", OWN)).errcode == "M_FORBIDDEN"
        assert (await world.served.ask("GET", OWN, headers={HEADER: "1.abc"})).errcode == "M_FORBIDDEN"
        assert await is_there(world, media_id)

    play(scenario, unauthenticated_access=True)


def test_lists_and_statistics(play: Playing) -> None:
    async def scenario(world: World) -> None:
        ids = []
        for number in range(3):
            ids.append(await world.uploaded(b"x" * (number + 1), "text/plain", f"{number}.txt"))
            await world.later(1)
        await world.served.ask("POST", f"{V3}/upload", b"bob's", BOB)
        first = (await admin(world, "GET", f"/users/{ALICE_ID}/media?limit=2")).json
        assert [one["media_id"] for one in first["media"]] == [ids[2], ids[1]]
        assert (first["total"], first["next_token"]) == (3, 2)
        rest = (await admin(world, "GET", f"/users/{ALICE_ID}/media?from=2")).json
        assert "next_token" not in rest
        assert rest["media"] == [
            {
                "media_id": ids[0],
                "created_ts": world.moment[0] - 3000,
                "last_access_ts": None,
                "media_length": 1,
                "media_type": "text/plain",
                "upload_name": "0.txt",
                "quarantined_by": None,
                "safe_from_quarantine": False,
            }
        ]
        by_size = (await admin(world, "GET", f"/users/{ALICE_ID}/media?order_by=media_length&dir=f")).json
        assert [one["media_length"] for one in by_size["media"]] == [1, 2, 3]
        for bad in ("order_by=x", "dir=x", "limit=x", "from=-1"):
            assert (await admin(world, "GET", f"/users/{ALICE_ID}/media?{bad}")).errcode == "M_INVALID_PARAM"
        found = (await admin(world, "GET", "/statistics/users/media?order_by=media_length&dir=b")).json
        assert found == {
            "users": [
                {"user_id": ALICE_ID, "displayname": None, "media_count": 3, "media_length": 6},
                {"user_id": f"@bob:{NAME}", "displayname": None, "media_count": 1, "media_length": 5},
            ],
            "total": 2,
        }
        searched = (await admin(world, "GET", "/statistics/users/media?search_term=BOB&limit=1")).json
        assert [one["user_id"] for one in searched["users"]] == [f"@bob:{NAME}"]
        info = (await admin(world, "GET", f"/media/{NAME}/{ids[0]}")).json["media_info"]
        assert (info["media_length"], info["user_id"]) == (1, ALICE_ID)
        assert (await admin(world, "GET", f"/media/{NAME}/none")).errcode == "M_NOT_FOUND"
        usage = (await operator(world, "GET")).json
        assert (usage["local"], usage["local_bytes"], usage["contents"]) == (4, 11, 4)
        assert usage["largest_users"][0] == {"user_id": ALICE_ID, "count": 3, "bytes": 6}
        assert len((await operator(world, "GET", f"/users/{ALICE_ID}")).json["media"]) == 3

    play(scenario)


def test_quarantine(play: Playing) -> None:
    """By id, and so by content: a copy is gone too, and one that is uploaded later; thumbnails as well."""

    async def scenario(world: World) -> None:
        data = picture(600, 400)
        media_id, copy = await world.uploaded(data, "image/png"), await world.uploaded(data, "image/png")
        assert (await world.thumbnail(media_id, 32, 32)).status == 200
        assert (await admin(world, "POST", f"/media/quarantine/{NAME}/{media_id}")).json == {}
        later = await world.uploaded(data, "image/png")
        for one in (media_id, copy, later):
            assert not await is_there(world, one)
            assert (await world.thumbnail(one, 32, 32)).errcode == "M_NOT_FOUND"
        listed = (await admin(world, "GET", f"/users/{ALICE_ID}/media")).json["media"]
        assert {one["quarantined_by"] for one in listed} == {f"@admin:{NAME}"}
        assert (await admin(world, "POST", f"/media/unquarantine/{NAME}/{media_id}")).json == {}
        for one in (media_id, copy, later):
            assert await is_there(world, one)
        assert (await admin(world, "POST", f"/user/{ALICE_ID}/media/quarantine")).json == {"num_quarantined": 3}
        assert not await is_there(world, copy)

    play(scenario, unauthenticated_access=True)


def test_what_is_protected_is_not_quarantined(play: Playing) -> None:
    async def scenario(world: World) -> None:
        kept, gone = await world.uploaded(b"same"), await world.uploaded(b"same")
        assert (await admin(world, "POST", f"/media/protect/{kept}")).json == {}
        await admin(world, "POST", f"/media/quarantine/{NAME}/{kept}")
        assert await is_there(world, kept)
        await admin(world, "POST", f"/user/{ALICE_ID}/media/quarantine")
        assert await is_there(world, kept)
        assert not await is_there(world, gone)
        assert (await admin(world, "POST", f"/media/unprotect/{kept}")).json == {}
        assert not await is_there(world, kept), "its bytes are quarantined"
        assert (await admin(world, "POST", "/media/protect/none")).errcode == "M_NOT_FOUND"

    play(scenario, unauthenticated_access=True)


def test_a_content_is_quarantined_before_anybody_has_it(play: Playing) -> None:
    async def scenario(world: World) -> None:
        digest = sha256(b"known to be bad").hexdigest()
        assert (await operator(world, "POST", "/quarantine", {"sha256": digest})).json == {"quarantined": 1}
        media_id = await world.uploaded(b"known to be bad")
        assert not await is_there(world, media_id)
        assert (await operator(world, "POST", "/release", {"sha256": digest})).json == {}
        assert await is_there(world, media_id)
        assert (await operator(world, "POST", "/release", {"sha256": digest})).errcode == "M_NOT_FOUND"

    play(scenario, unauthenticated_access=True)


async def put_event(world: World, number: int, content: dict[str, Any]) -> None:
    event_id = f"$event{number}"
    await world.db.execute(
        "INSERT INTO events (event_id, room_id, pos, json) VALUES (%s, '!room:far.org', %s, %s)",
        (event_id, number, json.dumps({"content": content})),
    )
    await world.db.execute(
        "INSERT INTO timeline (room_id, order_pos, order_sub, event_id, sender, type, origin_server_ts, rule_bits,"
        " state_pos) VALUES ('!room:far.org', %s, 0, %s, '@x:y', 'm.room.message', 0, 0, 0)",
        (number, event_id),
    )


def test_the_media_of_a_room(play: Playing) -> None:
    async def scenario(world: World) -> None:
        await world.db.execute("DELETE FROM timeline; DELETE FROM events")
        shown, named = await world.uploaded(b"shown"), await world.uploaded(b"only named")
        await put_event(world, 1, {"url": f"mxc://{NAME}/{shown}", "info": {"thumbnail_url": "mxc://far.org/t"}})
        await put_event(world, 2, {"body": f"mxc://{NAME}/{named}"})
        await put_event(world, 3, {"file": {"url": f"mxc://{NAME}/{shown}"}, "url": 5, "info": []})
        found = (await admin(world, "GET", "/room/!room:far.org/media")).json
        assert found == {"local": [f"mxc://{NAME}/{shown}"], "remote": ["mxc://far.org/t"]}
        assert (await admin(world, "POST", "/room/!room:far.org/media/quarantine")).json == {"num_quarantined": 1}
        assert not await is_there(world, shown)
        assert await is_there(world, named)
        assert (await admin(world, "POST", "/quarantine_media/!none:far.org")).json == {"num_quarantined": 0}
        assert (await admin(world, "GET", "/room/none/media")).errcode == "M_INVALID_PARAM"

    play(scenario, unauthenticated_access=True)


Place = Callable[[], list[str]]


async def delete_and_look(world: World, place: Place) -> None:
    """What `place` lists are the bytes that are there."""
    one, other = await world.uploaded(picture(600, 400), "image/png"), await world.uploaded(b"other")
    copy = await world.uploaded(b"other")
    await world.thumbnail(one, 32, 32)
    assert len(place()) == 3
    assert (await admin(world, "DELETE", f"/media/{NAME}/{one}")).json == {"deleted_media": [one], "total": 1}
    assert len(place()) == 1, "the thumbnail went too"
    assert (await admin(world, "DELETE", f"/media/{NAME}/{one}")).errcode == "M_NOT_FOUND"
    await admin(world, "DELETE", f"/media/{NAME}/{other}")
    assert len(place()) == 1, "somebody else has it"
    assert await is_there(world, copy)
    assert (await operator(world, "POST", "/delete", {"user_id": ALICE_ID})).json == {"deleted": 1}
    await world.background.drained()
    assert place() == []
    assert await world.db.fetch_one("SELECT bytes, count FROM media_usage") == (0, 0)
    again = await world.uploaded(b"other")
    assert await is_there(world, again)


def test_deleting_deletes(play: Playing) -> None:
    async def scenario(world: World) -> None:
        await delete_and_look(world, world.files)

    play(scenario, unauthenticated_access=True)


def test_deleting_deletes_in_the_object_store_too(play: Playing, object_store: ObjectStore) -> None:
    async def scenario(world: World) -> None:
        await delete_and_look(world, object_store.objects)

    play(scenario, unauthenticated_access=True, s3=object_store.options())


def test_deleting_what_was_just_put_in_place_once_more(play: Playing) -> None:
    """It is gone at once for everybody; its bytes go with a later sweep, as somebody may just be writing them."""

    async def scenario(world: World) -> None:
        media_id = await world.uploaded(b"x")
        await media_contents.claim_content(world.db, sha256(b"x").digest(), 1, world.moment[0])
        await admin(world, "DELETE", f"/media/{NAME}/{media_id}")
        assert not await is_there(world, media_id)
        await world.sweeper.sweep()
        assert len(world.files()) == 1
        await world.later(7200)
        await world.sweeper.sweep()
        assert world.files() == []

    play(scenario, unauthenticated_access=True)


def test_deleting_in_a_storage_that_takes_longer_than_a_transaction_may(
    play: Playing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database ends the transaction: the media are gone, and their bytes at the latest with a sweep."""
    monkeypatch.setattr(keeping, "CLAIM_LIMIT_S", 0.6)

    async def scenario(world: World) -> None:
        delete, media_id = world.store.delete, await world.uploaded(b"x")

        async def slowly(digest: bytes) -> None:
            await world.db.execute(
                """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND state = 'idle in transaction'
                """
            )
            await delete(digest)

        world.store.delete = slowly
        assert (await admin(world, "DELETE", f"/media/{NAME}/{media_id}")).status == 200
        assert (await world.download(media_id)).status == 404
        world.store.delete = delete
        assert (await world.upload(b"x")).status == 503, "perhaps it is still being deleted; claimed"
        await world.later(CLAIM_MS / 1000 + 1)
        await world.sweeper.sweep()
        assert world.files() == []
        assert (await world.download(await world.uploaded(b"x"))).body == b"x"

    play(scenario)


def test_deleting_what_is_old(play: Playing) -> None:
    async def scenario(world: World) -> None:
        avatar = await world.uploaded(b"avatar")
        await world.db.execute("DELETE FROM profiles")
        await world.db.execute(
            "INSERT INTO profiles (user_id, field, value, pos) VALUES (%s, 'avatar_url', %s, 1)",
            (ALICE_ID, json.dumps(f"mxc://{NAME}/{avatar}")),
        )
        old, used, protected = [await world.uploaded(name) for name in (b"old", b"used", b"protected")]
        await admin(world, "POST", f"/media/protect/{protected}")
        await world.later(3600)
        between = world.moment[0]
        await world.later(10)
        await world.download(used)
        await world.parts.accesses.flush()
        await world.later(3600)
        answer = await admin(world, "POST", f"/media/delete?before_ts={between}")
        assert answer.json == {"deleted_media": [old], "total": 1}
        await world.background.drained()
        assert len(world.files()) == 3
        answer = await admin(
            world, "POST", f"/media/{NAME}/delete?before_ts={world.moment[0]}&keep_profiles=false&size_gt=5"
        )
        assert answer.json == {"deleted_media": [avatar], "total": 1}
        for bad in ("before_ts=5", "before_ts=x", "", f"before_ts={between}&keep_profiles=x"):
            assert (await admin(world, "POST", f"/media/delete?{bad}")).status == 400
        assert (await admin(world, "POST", f"/media/far.org/delete?before_ts={between}")).status == 400

    play(scenario)


def test_purging_remote_media(play: Playing) -> None:
    async def scenario(world: World) -> None:
        media_id = await world.uploaded(b"x")
        await world.db.execute(
            "INSERT INTO remote_media (server_name, media_id, sha256, size, fetched_ts)"
            " SELECT 'far.org', 'm', sha256, size, 1700000000000 FROM media"
        )
        assert (await admin(world, "GET", "/media/far.org/m")).json["media_info"]["media_origin"] == "far.org"
        assert (await admin(world, "POST", "/purge_media_cache?before_ts=1600000000000")).json == {"deleted": 0}
        assert (await admin(world, "POST", "/purge_media_cache?before_ts=1800000000000")).json == {"deleted": 1}
        assert (await admin(world, "DELETE", "/media/far.org/m")).errcode == "M_NOT_FOUND"
        assert await is_there(world, media_id)

    play(scenario, unauthenticated_access=True)


def test_limits_of_one_user_and_of_all(play: Playing) -> None:
    async def scenario(world: World) -> None:
        assert (await world.upload(bytes(900))).status == 200
        assert (await world.upload(bytes(900))).errcode == "M_FORBIDDEN"
        assert (await operator(world, "PUT", f"/users/{ALICE_ID}/quota", {"bytes": 5000})).json == {}
        assert (await world.upload(b"1" * 900)).status == 200
        assert (await operator(world, "GET", f"/users/{ALICE_ID}")).json["most_bytes"] == 5000
        assert (await operator(world, "PUT", f"/users/{ALICE_ID}/quota", {"bytes": None})).json == {}
        assert (await world.upload(b"x")).errcode == "M_FORBIDDEN"
        await operator(world, "PUT", f"/users/@bob:{NAME}/quota", {"bytes": 0})
        assert (await world.served.ask("POST", f"{V3}/upload", b"x", BOB)).errcode == "M_FORBIDDEN"
        assert (await operator(world, "PUT", "/users/bob/quota", {"bytes": 1})).errcode == "M_INVALID_PARAM"
        await operator(world, "PUT", f"/users/{ALICE_ID}/quota", {"bytes": 50_000})
        assert (await world.upload(b"2" * 2000)).status == 200
        await world.parts.stored_bytes.look()
        full = await world.upload(b"3" * 2000)
        assert (full.status, full.errcode) == (403, "M_FORBIDDEN")
        await operator(world, "POST", "/delete", {"user_id": ALICE_ID})
        await world.background.drained()
        await world.parts.stored_bytes.look()
        assert (await world.upload(b"3" * 2000)).status == 200

    play(scenario, user_bytes=1000, total_bytes=5000)


def test_retention_of_uploads(play: Playing) -> None:
    async def scenario(world: World) -> None:
        old, used = await world.uploaded(b"old"), await world.uploaded(b"used")
        avatar = await world.uploaded(b"avatar")
        await world.db.execute("DELETE FROM profiles")
        await world.db.execute(
            "INSERT INTO profiles (user_id, field, value, pos) VALUES (%s, 'avatar_url', %s, 1)",
            (ALICE_ID, json.dumps(f"mxc://{NAME}/{avatar}")),
        )
        await world.later(50_000)
        await world.download(used)
        await world.parts.accesses.flush()
        await world.later(50_000)
        await world.sweeper.sweep()
        assert (await world.download(old)).errcode == "M_NOT_FOUND"
        assert (await world.download(used)).body == b"used"
        assert len(world.files()) == 2, "nobody was sent the avatar, and it is shown all the same"
        assert await world.db.fetch_one("SELECT bytes, count FROM media_usage") == (10, 2)

    play(scenario, lifetime_ms=86_400_000)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"mxc": "x"},
        {"mxc": f"mxc://{NAME}/a", "user_id": ALICE_ID},
        {"sha256": "AB"},
        {"mxc": 5},
        {"room_id": "!r"},
    ],
)
def test_bad_selections(play: Playing, body: dict[str, Any]) -> None:
    async def scenario(world: World) -> None:
        assert (await operator(world, "POST", "/delete", body)).status == 400

    play(scenario)


def test_the_command(play: Playing, tmp_path: Path) -> None:
    """`viaduct admin media`, against a worker that runs. Proofs are dated by the real clock, from which the world's is
    some seconds away."""
    config = tmp_path / "viaduct.toml"
    config.write_text(f'[server]\nname = "{NAME}"\n[registration]\nshared_secret = "{SECRET}"\n')

    async def scenario(world: World) -> None:
        async def say(*words: str) -> str:
            url = f"http://127.0.0.1:{world.served.port}"
            arguments = [*words, "--config", str(config), "--url", url]
            result = await deferToThread(CliRunner().invoke, media_command, arguments)
            return str(result.output)

        media_id = await world.uploaded(b"x" * 3000, "text/plain", "a.txt")
        assert "1 uploads of users: 2.9 KiB" in await say("usage")
        listed = await say("list", ALICE_ID)
        assert media_id in listed
        assert "1 uploads: 2.9 KiB" in listed
        assert "may take 5.0 MiB" in await say("quota", ALICE_ID, "5")
        assert "what the config says" in await say("quota", ALICE_ID, "default")
        assert "Quarantined 1." in await say("quarantine", f"mxc://{NAME}/{media_id}")
        assert f"Released mxc://{NAME}/{media_id}." in await say("release", f"mxc://{NAME}/{media_id}")
        assert "Deleted 0." in await say("purge", "--days", "1", "--yes")
        assert "Deleted 0." in await say("purge", "--days", "1", "--local", "--yes")
        assert "Deleted 1." in await say("delete", ALICE_ID, "--yes")
        assert "the server refused: There are no such media" in await say("delete", f"mxc://{NAME}/none", "--yes")
        assert "give mxc://" in await say("quarantine", "nonsense")
        assert "number of mebibytes" in await say("quota", ALICE_ID, "much")

    play(scenario)


def test_sizes_in_words() -> None:
    assert [size(count) for count in (0, 1023, 1024, 5 << 20, 3 << 40, 1 << 60)] == [
        "0 bytes",
        "1023 bytes",
        "1.0 KiB",
        "5.0 MiB",
        "3.0 TiB",
        "1048576.0 TiB",
    ]


@pytest.mark.parametrize("content", [None, [], "x", {"url": "mxc://"}, {"file": None}, {"info": {"thumbnail_file": 5}}])
def test_events_that_show_nothing(content: Any) -> None:
    assert media_of_event(json.dumps({"content": content})) == []
