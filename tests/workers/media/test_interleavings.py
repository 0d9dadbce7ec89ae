"""Uploads, deletions and sweeps of the same content at the same time, and whatever else may touch it: one process stops
after each of its steps while another one does all of its work, and then goes on, dies, loses its connections to the
database, or goes on hours later. With workers from before migration 0037 among them too.

What must be true all the time and at the end is told in `contents.Place`. That these plays would see it if it were not
is shown by switching off each rule that makes it so.
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from hs_common.storage import media, media_contents, media_lifetimes
from hs_common.storage.media import Content, Uploaded
from hs_workers.media import deleting
from hs_workers.media.collecting import Collecting
from hs_workers.media.deleting import Deleting
from hs_workers.media.keeping import Incoming
from tests.reactor import run
from tests.workers.media.contents import EXPECTED, Place, Worker
from tests.workers.media.interleaving import Fate, steps_of

ALL_LIMIT_S: Final = 240.0
Pair = tuple[str, str, str]
"""What was there before, who stops, who does not."""

BEFORE: Final[dict[str, list[str]]] = {
    "nothing": [],
    "used": ["upload"],
    "fetched": ["fetch"],
    "drawn": ["thumbnail"],
    "unused": ["unused"],
    "gone": ["upload", "delete"],
    "stray": ["stray"],
    "moved": ["used_in_the_old_place"],
}
PAIRS: Final[list[Pair]] = [
    *(("nothing", "upload", second) for second in ("upload_refused", "quarantine")),
    ("nothing", "upload_refused", "upload"),
    ("nothing", "fill", "fill"),
    ("gone", "upload", "upload"),
    ("stray", "upload", "sweep"),
    *(("unused", first, "sweep") for first in ("upload", "fetch")),
    *(("used", first, "delete") for first in ("upload", "fill", "thumbnail")),
    *(("used", "delete", second) for second in ("upload", "fetch", "delete")),
    *(("fetched", first, second) for first, second in (("purge", "upload"), ("fetch", "purge"))),
    ("drawn", "thumbnail", "delete_source"),
    ("stray", "sweep", "upload"),
    ("unused", "sweep", "thumbnail"),
]
OLD_PAIRS: Final[list[Pair]] = [
    ("unused", "old_upload", "sweep"),
    ("used", "delete", "old_upload"),
    ("stray", "old_sweep", "upload"),
    ("unused", "upload", "old_sweep"),
]
MOVING_PAIRS: Final[list[Pair]] = [
    *(("moved", "move", second) for second in ("upload", "delete")),
    ("moved", "delete", "move"),
]
STORE_PAIRS: Final[list[Pair]] = [("used", "upload", "delete"), ("stray", "upload", "sweep")]
WITH_LOST_CONNECTIONS: Final = (("used", "delete", "upload"), ("unused", "fetch", "sweep"))


async def play(place: Place, pair: Pair, steps: int, fate: Fate) -> bool:
    """Whether the first one had come so far before its end."""
    before, first, second = pair
    await place.begin()
    for what in BEFORE[before]:
        await Worker(place, what, place.db).work(what)
    one, other = Worker(place, first), Worker(place, second)
    try:
        one.process.start(one.work(first))
        stopped = await steps_of(one.process, other.process, steps, place.look)
        if stopped and fate is Fate.DIES:
            await one.process.die()
        elif stopped and fate is Fate.LOSES_CONNECTIONS:
            await one.process.lose_connections()
        other.process.start(other.work(second))
        await steps_of(other.process, one.process, None, place.look)
        look = place.look
        if stopped and fate is Fate.GOES_ON_HOURS_LATER:
            await place.hours_pass()
            look = _nothing  # what it records now is perhaps gone, and comes again before that is acknowledged
        await steps_of(one.process, other.process, None, look)
        for process in (one.process, other.process):
            for failure in process.failures:
                if not failure.check(*EXPECTED):
                    failure.raiseException()
        await place.end()
    except AssertionError as error:
        told = "\n".join([*one.process.steps[:steps], f"-- {fate.value}", *other.process.steps])
        raise AssertionError(f"{error}, when the first had done {steps} steps of:\n{told}") from error
    finally:
        await one.process.close()
        await other.process.close()
    return stopped


async def _nothing() -> None:
    return None


async def plays(place: Place, pair: Pair, fates: tuple[Fate, ...]) -> int:
    """All of a pair: how many there were."""
    for steps in itertools.count():
        for number, fate in enumerate(fates):
            if not await play(place, pair, steps, fate):
                return steps * len(fates) + number
    raise AssertionError


@pytest.fixture
def in_place(media_url: str, media_folder: Path) -> Iterator[Callable[[str], Place]]:
    made: list[Place] = []

    def make(kind: str) -> Place:
        place = Place(media_url, media_folder, kind)
        made.append(place)
        run(place.local.start())
        return place

    yield make
    for place in made:
        run(place.close())


InPlace = Callable[[str], Place]
FATES: Final = (Fate.GOES_ON, Fate.DIES)
ALL_FATES: Final = (*FATES, Fate.LOSES_CONNECTIONS)


def named(pair: Pair) -> str:
    return "-".join(pair)


@pytest.mark.parametrize("pair", PAIRS, ids=named)
def test_one_stops_while_another_works(in_place: InPlace, pair: Pair) -> None:
    fates = ALL_FATES if pair in WITH_LOST_CONNECTIONS else FATES
    assert run(plays(in_place("folder"), pair, fates), ALL_LIMIT_S) > 1


@pytest.mark.parametrize("pair", STORE_PAIRS, ids=named)
def test_the_same_in_an_object_store(in_place: InPlace, pair: Pair) -> None:
    assert run(plays(in_place("object store"), pair, FATES), ALL_LIMIT_S) > 3


@pytest.mark.parametrize("pair", OLD_PAIRS, ids=named)
def test_workers_from_before_among_them(in_place: InPlace, pair: Pair) -> None:
    assert run(plays(in_place("folder"), pair, FATES), ALL_LIMIT_S) > 1


@pytest.mark.parametrize("pair", MOVING_PAIRS, ids=named)
def test_contents_that_are_moved_meanwhile(in_place: InPlace, pair: Pair) -> None:
    assert run(plays(in_place("moving"), pair, FATES), ALL_LIMIT_S) > 3


@pytest.mark.parametrize("pair", [("used", "upload", "delete"), ("stray", "fetch", "sweep")], ids=named)
def test_one_that_stands_still_for_hours(in_place: InPlace, pair: Pair) -> None:
    assert run(plays(in_place("folder"), pair, (Fate.GOES_ON_HOURS_LATER,)), ALL_LIMIT_S) > 1


# Rules, each switched off


Patch = pytest.MonkeyPatch


def records_what_was_deleted(patch: Patch) -> None:
    add_upload = media.add_upload

    async def added(db: Any, media_id: str, user_id: str, now_ms: int, content: Content, *args: Any) -> Uploaded:
        await db.execute(
            "UPDATE media_blobs SET deletion_ts = NULL, is_deleting = false WHERE sha256 = %s", (content.sha256,)
        )
        return await add_upload(db, media_id, user_id, now_ms, content, *args)

    patch.setattr(media, "add_upload", added)


def deletes_before_it_says_so(patch: Patch) -> None:
    begin = Deleting._begin

    async def deleted(self: Any, sha256: bytes, gone_too: bool, now_ms: int) -> int | None:
        await self._store.delete(sha256)
        return await begin(self, sha256, gone_too, now_ms)

    patch.setattr(Deleting, "_begin", deleted)


def deletes_strays_unsaid(patch: Patch) -> None:
    async def deleted(self: Any, sha256: bytes) -> bool:
        await self._store.delete(sha256)
        return True

    patch.setattr(Deleting, "delete_stray", deleted)


def does_not_look_again(patch: Patch) -> None:
    async def is_wanted(txn: Any, sha256: bytes) -> bool:
        return False

    patch.setattr(media_contents, "is_wanted", is_wanted)


def deletes_what_is_used(patch: Patch) -> None:
    does_not_look_again(patch)

    async def begin_deletion(txn: Any, sha256: bytes, now_ms: int) -> int:
        await txn.execute(
            "UPDATE media_blobs SET deletion_ts = %s, is_deleting = true, touched_ts = NULL WHERE sha256 = %s",
            (now_ms, sha256),
        )
        return now_ms

    patch.setattr(media_contents, "begin_deletion", begin_deletion)


def forgets_as_soon_as_it_has_deleted(patch: Patch) -> None:
    async def end_deletion(txn: Any, sha256: bytes) -> None:
        await txn.execute("DELETE FROM media_blobs WHERE sha256 = %s AND touched_ts IS NULL", (sha256,))

    patch.setattr(media_contents, "end_deletion", end_deletion)


def forgets_with_the_next_sweep(patch: Patch) -> None:
    patch.setattr(deleting, "REMEMBERED_MS", -1)


def does_not_wait_for_a_deletion(patch: Patch) -> None:
    async def claim(self: Any, digest: Any) -> int | None:
        return (await media_contents.claim_content(self._db, digest.sha256, digest.size, self._now_ms())).deletion_ts

    patch.setattr(Incoming, "_claim", claim)


def does_not_write_again(patch: Patch) -> None:
    keep = Collecting.keep

    async def once(self: Any) -> None:
        if not getattr(self, "is_kept", False):
            self.is_kept = True
            await keep(self)

    patch.setattr(Collecting, "keep", once)


def does_not_mind_how_long_it_took(patch: Patch) -> None:
    patch.setattr(Incoming, "_is_soon_after", lambda self, began_ms: True)


def records_in_two_transactions(patch: Patch) -> None:
    async def keep_with(self: Any, digest: Any, record: Any) -> None:
        async def recorded(accepted: int | None) -> bool:
            if not await media_contents.record_content(self._db, digest.sha256, digest.size, accepted):
                return False
            await record(self._db)
            return True

        await self.keep(digest, recorded)

    patch.setattr(Incoming, "keep_with", keep_with)


def does_not_count_what_goes(patch: Patch) -> None:
    async def delete_media(db: Any, media_ids: list[str]) -> list[Any]:
        await db.execute("DELETE FROM media WHERE media_id = ANY(%s)", (media_ids,))
        return []

    patch.setattr(media_lifetimes, "delete_media", delete_media)


def counts_what_it_does_not_record(patch: Patch) -> None:
    add_upload = media.add_upload

    async def counted(db: Any, media_id: str, user_id: str, *args: Any) -> Uploaded:
        await db.execute(
            """
            INSERT INTO media_usage AS used (user_id, bytes, count) VALUES (%s, 0, 1)
                ON CONFLICT (user_id) DO UPDATE SET count = used.count + 1
            """,
            (user_id,),
        )
        return await add_upload(db, media_id, user_id, *args)

    patch.setattr(media, "add_upload", counted)


HOURS: Final = (Fate.GOES_ON_HOURS_LATER,)


@pytest.mark.parametrize(
    ("switch_off", "pair", "fates"),
    [
        (records_what_was_deleted, ("used", "upload", "delete"), ALL_FATES),
        (deletes_before_it_says_so, ("used", "delete", "upload"), ALL_FATES),
        (deletes_strays_unsaid, ("stray", "sweep", "upload"), ALL_FATES),
        (does_not_look_again, ("unused", "sweep", "old_upload"), ALL_FATES),
        (deletes_what_is_used, ("used", "delete", "upload"), ALL_FATES),
        (forgets_as_soon_as_it_has_deleted, ("used", "upload", "delete"), ALL_FATES),
        (forgets_with_the_next_sweep, ("unused", "upload", "sweep"), ALL_FATES),
        (does_not_wait_for_a_deletion, ("used", "delete", "upload"), ALL_FATES),
        (does_not_write_again, ("used", "upload", "delete"), ALL_FATES),
        (does_not_mind_how_long_it_took, ("used", "upload", "delete"), HOURS),
        (records_in_two_transactions, ("unused", "fetch", "sweep"), ALL_FATES),
        (does_not_count_what_goes, ("used", "delete", "upload"), ALL_FATES),
        (counts_what_it_does_not_record, ("nothing", "upload", "fetch"), ALL_FATES),
    ],
)
def test_without_any_of_its_rules_it_fails(
    in_place: InPlace,
    monkeypatch: Patch,
    switch_off: Callable[[Patch], None],
    pair: Pair,
    fates: tuple[Fate, ...],
) -> None:
    place = in_place("folder")
    switch_off(monkeypatch)
    with pytest.raises(AssertionError, match=r"steps of:\n"):
        run(plays(place, pair, fates), ALL_LIMIT_S)
