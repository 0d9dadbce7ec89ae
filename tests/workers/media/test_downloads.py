"""Downloading: headers, conditions, parts, and who may."""

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hs_workers.media.disposition import INLINE_TYPES
from hs_workers.media.wiring import provider_icons
from tests.common.http.served import compose
from tests.reactor import run, until
from tests.workers.media.conftest import Playing
from tests.workers.media.pictures import picture
from tests.workers.media.world import ALICE, AUTHED, NAME, V3, World, media_worker

DATA = bytes(range(200)) * 5


def test_nothing_in_a_file_can_run(play: Playing) -> None:
    async def scenario(world: World) -> None:
        for content_type, kind in (
            ("image/png", "inline"),
            ("text/html", "attachment"),
            ("image/svg+xml", "attachment"),
        ):
            answer = await world.download(await world.uploaded(b"<script>alert(1)</script>", content_type))
            assert answer.headers["content-type"] == content_type
            assert answer.headers["content-disposition"] == kind
            assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none';")
            assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["access-control-allow-origin"] == "*"
        assert "text/html" not in INLINE_TYPES

    play(scenario)


def test_the_name_in_the_path_goes_first(play: Playing) -> None:
    async def scenario(world: World) -> None:
        media_id = await world.uploaded(b"x", "text/plain", "a.txt")
        answer = await world.download(media_id, "/b%22%0d%0aX:%20y.txt")
        assert answer.headers["content-disposition"] == "inline; filename*=UTF-8''b%22%0D%0AX%3A%20y.txt"
        assert (await world.download(media_id, "/")).headers["content-disposition"] == 'inline; filename="a.txt"'

    play(scenario)


def test_what_the_client_has_is_not_sent_again(play: Playing) -> None:
    async def scenario(world: World) -> None:
        media_id = await world.uploaded(DATA, "text/plain")
        answer = await world.download(media_id)
        assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
        tag = answer.headers["etag"]
        same = await world.get(f"{AUTHED}/download/{NAME}/{media_id}", method="HEAD", **{"If-None-Match": tag})
        assert (same.status, same.headers["etag"], same.after) == (304, tag, b"")
        assert (await world.download(media_id, If_None_Match='"other"')).body == DATA

    play(scenario)


def test_parts(play: Playing) -> None:
    async def scenario(world: World) -> None:
        media_id = await world.uploaded(DATA, "text/plain")
        part = await world.download(media_id, Range="bytes=10-19")
        assert (part.status, part.body, part.headers["content-range"]) == (206, DATA[10:20], "bytes 10-19/1000")
        assert part.headers["etag"] == (await world.download(media_id)).headers["etag"]
        behind = await world.download(media_id, Range="bytes=1000-")
        assert (behind.status, behind.headers["content-range"]) == (416, "bytes */1000")
        assert behind.errcode == "M_UNKNOWN"
        assert (await world.download(media_id, Range="bytes=0-1,5-6")).body == DATA
        stale = await world.download(media_id, Range="bytes=10-19", If_Range='"other"')
        assert (stale.status, stale.body) == (200, DATA)
        fresh = await world.download(media_id, Range="bytes=10-19", If_Range=part.headers["etag"])
        assert fresh.status == 206
        head = await world.download(media_id, method="HEAD", Range="bytes=10-19")
        assert (head.status, head.headers["content-length"], head.after) == (200, "1000", b"")

    play(scenario)


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 1100), st.integers(0, 1100)), min_size=10, max_size=10))
def test_any_part_is_that_part_of_the_file(media_url: str, media_folder: Path, parts: list[tuple[int, int]]) -> None:
    async def scenario() -> None:
        async with media_worker(media_url, media_folder) as world:
            media_id = await world.uploaded(DATA)
            for first, last in parts:
                answer = await world.download(media_id, Range=f"bytes={first}-{last}")
                if last < first:
                    assert (answer.status, answer.body) == (200, DATA)
                elif first >= len(DATA):
                    assert answer.status == 416
                else:
                    assert (answer.status, answer.body) == (206, DATA[first : last + 1])

    run(scenario(), 60.0)


def test_who_may(play: Playing) -> None:
    async def scenario(world: World) -> None:
        media_id = await world.uploaded(b"x")
        path = f"{AUTHED}/download/{NAME}/{media_id}"
        assert (await world.served.ask("GET", path)).errcode == "M_MISSING_TOKEN"
        guest = world.served.accounts.add("guest", is_guest=True)
        assert (await world.served.ask("GET", path, headers=guest)).body == b"x"
        assert (await world.served.ask("POST", f"{V3}/upload", b"x", guest)).errcode == "M_GUEST_ACCESS_FORBIDDEN"

    play(scenario)


def test_what_there_is_not(play: Playing) -> None:
    async def scenario(world: World) -> None:
        for target, status, errcode in (
            (f"{NAME}/unknown", 404, "M_NOT_FOUND"),
            ("other.example.org/abc", 403, "M_FORBIDDEN"),
            (f"{NAME}/..%2F..%2Fetc%2Fpasswd", 400, "M_INVALID_PARAM"),
            ("a%20b/abc", 400, "M_INVALID_PARAM"),
        ):
            for kind in ("download", "thumbnail"):
                answer = await world.get(f"{AUTHED}/{kind}/{target}?width=32&height=32")
                assert (answer.status, answer.errcode) == (status, errcode), target

    play(scenario)


def test_without_a_token_only_what_was_uploaded_while_that_was_allowed(play: Playing) -> None:
    """Switching it off is the specification's freeze: what was public stays so."""
    public: list[str] = []
    private: list[str] = []

    async def frozen(world: World) -> None:
        private.append(await world.uploaded(b"new", "text/plain"))
        for version in ("v3", "r0", "v1"):
            old = f"/_matrix/media/{version}/download/{NAME}"
            assert [(await world.served.ask("GET", f"{old}/{media_id}")).body for media_id in public] == [b"old"]
            assert {(await world.served.ask("GET", f"{old}/{media_id}")).errcode for media_id in private} == {
                "M_NOT_FOUND"
            }
        assert (await world.download(private[-1])).body == b"new"

    async def unfrozen(world: World) -> None:
        private.append(
            (await world.served.ask("POST", "/_matrix/media/v1/create", b"", ALICE)).json["content_uri"][18:]
        )
        public.append(await world.uploaded(b"old", "text/plain"))
        answer = await world.served.ask("GET", f"{V3}/download/{NAME}/{public[0]}/name.txt")
        assert answer.body == b"old"
        assert answer.headers["cache-control"].startswith("public,")
        assert answer.headers["content-disposition"] == 'inline; filename="name.txt"'
        assert (await world.served.ask("GET", f"{V3}/thumbnail/{NAME}/{public[0]}?width=9&height=9")).status == 400

    play(unfrozen, unauthenticated_access=True)
    play(frozen)


def test_what_is_shown_before_login_can_be_had_without_a_token(play: Playing) -> None:
    """The specification excludes the icons of identity providers from the freeze."""
    ids: list[str] = []

    async def statuses(world: World) -> list[int]:
        targets = [f"{V3}/{kind}/{NAME}/{media_id}" for kind in ("download", "thumbnail") for media_id in ids]
        return [(await world.served.ask("GET", f"{target}?width=32&height=32")).status for target in targets]

    async def before(world: World) -> None:
        ids.extend([await world.uploaded(picture(64, 64), "image/png") for _ in range(2)])
        assert await statuses(world) == [404] * 4

    async def after(world: World) -> None:
        assert await statuses(world) == [200, 404] * 2

    play(before)
    play(after, shown_before_login=provider_icons(["", "mxc://a b/c", f"mxc://{NAME}/{ids[0]}"]))


def test_a_file_that_was_lost_is_an_error_and_an_alarm(play: Playing) -> None:
    async def scenario(world: World) -> None:
        media_id = await world.uploaded(b"x")
        (world.folder / world.files()[0]).unlink()
        answer = await world.download(media_id)
        assert (answer.status, answer.errcode) == (404, "M_NOT_FOUND")
        assert world.metric("viaduct_media_storage_errors_total") == 1

    play(scenario)


def test_slow_clients_hold_up_nobody(play: Playing) -> None:
    async def scenario(world: World) -> None:
        media_id = await world.uploaded(b"x" * 20_000_000)
        request = compose("GET", f"{AUTHED}/download/{NAME}/{media_id}", headers=ALICE)
        slow = [await world.served.connect() for _ in range(50)]
        for connection in slow:
            connection.transport.pauseProducing()  # type: ignore[union-attr]
            connection.write(request)
        await until(lambda: world.served.observed.started == 51)
        small = await world.uploaded(b"small")
        assert (await world.download(small)).body == b"small"
        assert world.metric("viaduct_media_sent_bytes_total") < 50 * 15_000_000
        for connection in slow:
            connection.abort()
            connection.transport.resumeProducing()  # type: ignore[union-attr]
            await connection.ended()
        await until(lambda: len(world.served.observed.finished) == world.served.observed.started)

    play(scenario)
