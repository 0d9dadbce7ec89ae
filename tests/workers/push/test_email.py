"""Notifications by email: what stays unread, batched by room, not too often, only to addresses that are the user's."""

from hs_common.config.push import Push
from hs_common.email.mail import MailFailed
from hs_common.storage.threepids import Threepid, add_threepid, delete_threepid
from hs_workers.push.mail_text import LINES_LIMIT, TEXT_LIMIT, room_text, subject
from hs_workers.push.notification import PushedEvent
from tests.reactor import until
from tests.workers.push.conftest import Play
from tests.workers.push.world import ALICE, BOB, World

ADDRESS = "bob@example.org"
MINUTE_MS = 60_000


async def people(w: World, delay_ms: int = 10 * MINUTE_MS) -> str:
    """Alice and Bob in a room; Bob wants mails."""
    w.settings = Push(mail_delay_ms=delay_ms)
    await w.user(ALICE)
    await w.user(BOB)
    w.start_worker()
    room = await w.room(BOB)
    await w.m.member(room, ALICE, "join", displayname="Alice <A.>")
    await w.m.event(room, ALICE, "m.room.name", {"name": "The\nroom"}, state_key="")
    await add_threepid(w.m.db, BOB, Threepid("email", ADDRESS, 1, 1))
    await w.pusher(BOB, ADDRESS, app_id="m.email", kind="email", device_id=None)
    return room


async def after(w: World, minutes: int) -> None:
    """Time passes, once all is judged and every pusher waits."""
    await w.settled_but_for(None)
    tasks = [task for worker in w.workers for task in worker.parts.senders.tasks]
    await until(lambda: all(task.news.is_awaited for task in tasks))
    w.now_ms += minutes * MINUTE_MS
    for task in tasks:
        task.news.ring()


def test_what_stays_unread_is_mailed_once_in_one_mail(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await people(w)
        await w.m.send(room, ALICE, "hello <b>Bob</b>")
        await w.m.send(room, ALICE, "two\nlines")
        await w.settled_but_for(2)
        assert w.mails.taken == []
        await w.m.send(room, ALICE, "three")
        await after(w, 11)
        await until(lambda: w.mails.taken)
        [mail] = w.mails.taken
        assert (mail["To"], mail["From"]) == (ADDRESS, "Example <noreply@example.org>")
        assert mail["Subject"] == "3 unread messages in The room"
        [text], [page] = w.mails.texts, w.mails.pages
        assert "Alice <A.>: hello <b>Bob</b>" in text
        assert "Alice <A.>: two lines" in text
        assert f"https://matrix.to/#/{room}" in text
        assert "hello &lt;b&gt;Bob&lt;/b&gt;" in page
        link = mail["List-Unsubscribe"]
        assert link.startswith("<https://example.org/_viaduct/client/v1/unsubscribe?")
        assert link.strip("<>") in text
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        await w.settled_but_for(0)

    play(scenario)


def test_a_room_is_mailed_of_less_and_less_often(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await people(w)
        await w.m.send(room, ALICE, "first")
        await after(w, 11)
        await w.settled()
        await w.m.send(room, ALICE, "second")
        await after(w, 11)
        await w.settled()
        assert len(w.mails.taken) == 2
        await w.m.send(room, ALICE, "third")
        await after(w, 11)  # it is twenty minutes from now on
        await w.m.send(room, ALICE, "with it")
        await w.settled_but_for(2)
        assert len(w.mails.taken) == 2
        await after(w, 10)
        await w.settled()
        assert len(w.mails.taken) == 3
        rows = await w.m.db.fetch("SELECT wait_ms FROM push_mails")
        assert rows == [(40 * MINUTE_MS,)]

    play(scenario)


def test_what_is_read_meanwhile_is_not_mailed(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await people(w)
        other = await w.room(BOB)
        read = await w.m.send(room, ALICE, "read in time")
        await w.settled_but_for(1)
        await w.read(BOB, room, read)
        gone = await w.m.send(other, ALICE, "redacted")
        await w.m.event(other, ALICE, "m.room.redaction", {"redacts": gone})
        invite = await w.m.member(await w.m.create_room(ALICE), ALICE, "invite", BOB)
        assert invite
        await w.m.send(other, ALICE, "unread")
        await after(w, 11)
        await until(lambda: w.mails.taken)
        text = w.mails.texts[0]
        assert "read in time" not in text
        assert "redacted" not in text
        assert "unread" in text
        assert "invites you" in text

    play(scenario)


def test_a_mail_server_that_fails_is_asked_again_unless_it_never_will(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await people(w, 0)
        w.mails.failures = [MailFailed("busy")]
        await w.m.send(room, ALICE, "hello")
        await until(lambda: w.mails.taken)
        w.mails.failures = [MailFailed("no such user", is_permanent=True)]
        w.now_ms += MINUTE_MS
        await w.m.send(room, ALICE, "lost")
        await w.settled_but_for(0)
        assert len(w.mails.taken) == 1

    play(scenario)


def test_an_address_that_is_the_users_no_more_gets_nothing(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await people(w, 0)
        await delete_threepid(w.m.db, BOB, "email", ADDRESS)
        await w.m.send(room, ALICE, "hello")
        await w.settled_but_for(0)
        assert w.mails.taken == []
        assert await w.m.db.fetch("SELECT 1 FROM pushers") == []

    play(scenario)


def event(body: object = "hello", **changes: object) -> PushedEvent:
    fields: dict[str, object] = {
        "event_id": "$e",
        "room_id": "!r:test",
        "type": "m.room.message",
        "sender": ALICE,
        "state_key": None,
        "content": {"body": body},
    }
    return PushedEvent(**{**fields, **changes})  # type: ignore[arg-type]


def test_texts_are_short_and_say_no_more_than_they_may() -> None:
    def text(*events: PushedEvent, include_content: bool = True) -> object:
        return room_text(events, link_base="https://l/", include_content=include_content).lines[-1]["text"]

    assert text(event("x" * 1000)) == "x" * (TEXT_LIMIT - 1) + "…"
    assert text(event("a\r\n\u202eb\0c")) == "a b c"
    assert text(event(), include_content=False) == text(event(7)) == text(event("  ")) == "sent a message"
    assert text(event(type="m.room.encrypted")) == "sent an encrypted message"
    many = room_text([event() for _ in range(25)], link_base="https://l/", include_content=True)
    assert (many.earlier, len(many.lines), many.count) == (15, LINES_LIMIT, 25)
    assert many.name == ALICE
    assert subject([many, many]) == "50 unread messages in 2 rooms"
    named = room_text([event(room_name="R")], link_base="https://l/", include_content=True)
    assert subject([named]) == "1 unread message in R"
