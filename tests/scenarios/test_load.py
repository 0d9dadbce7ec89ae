"""The load's own check: it passes an honest story and finds each way in which a server can tell another one."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from tests.scenarios.client import Json
from tests.scenarios.load import Account, Listener, Load, Persistent

ROOM = "!room"
TEXTS = ("one", "two", "three")


class Nobody:
    """In a user's place: the history it reads is the one that it was given."""

    def __init__(self) -> None:
        self.urls = ["http://nowhere"]
        self.user_id = "@speaker:x"
        self.story: list[Json] = []

    async def history(self, room_id: str, page: int) -> list[Json]:
        return self.story


def message(text: str, event_id: str | None = None) -> Json:
    return {"type": "m.room.message", "event_id": event_id or f"${text}", "content": {"body": text}}


class Told:
    """Two listeners who heard three messages of one speaker, all acknowledged."""

    def __init__(self) -> None:
        self.user = cast(Any, Nobody())
        self.account = Account(
            acknowledged={text: f"${text}" for text in TEXTS}, said={f"{ROOM} @speaker:x": list(TEXTS)}
        )
        self.listeners = [Listener(self.user, self.account) for _ in range(2)]
        for listener in self.listeners:
            listener.heard[ROOM] = [message(text) for text in TEXTS]
        self.user.story = [{"type": "m.room.create", "event_id": "$create"}, *self.listeners[0].heard[ROOM]]

    def check(self) -> None:
        load = Load(self.listeners, [Persistent(self.user, self.account)], [ROOM])
        asyncio.run(load.check())

    def everybody_heard(self, story: list[Json]) -> None:
        for listener in self.listeners:
            listener.heard[ROOM] = list(story)
        self.user.story = list(story)


def lost_by_one(told: Told) -> None:
    del told.listeners[1].heard[ROOM][1]


def lost_by_all(told: Told) -> None:
    told.everybody_heard([message("one"), message("three")])


def heard_twice(told: Told) -> None:
    told.everybody_heard([message("one"), message("two"), message("two"), message("three")])


def sent_twice(told: Told) -> None:
    told.everybody_heard([message("one"), message("two"), message("two", "$again"), message("three")])


def other_order_for_one(told: Told) -> None:
    told.listeners[1].heard[ROOM].reverse()


def other_order_for_all(told: Told) -> None:
    told.everybody_heard([message(text) for text in reversed(TEXTS)])


def other_event_than_acknowledged(told: Told) -> None:
    told.everybody_heard([message("one"), message("two", "$other"), message("three")])


def other_history(told: Told) -> None:
    del told.user.story[1]


def hung(told: Told) -> None:
    told.account.slow.append("PUT message: 11.0 s")


def logged_out(told: Told) -> None:
    told.account.refused.append("GET sync: 401")


def test_honest_story_passes() -> None:
    Told().check()


@pytest.mark.parametrize(
    "wrong",
    [
        *(lost_by_one, lost_by_all, heard_twice, sent_twice, other_order_for_one, other_order_for_all),
        *(other_event_than_acknowledged, other_history, hung, logged_out),
    ],
)
def test_wrong_story_is_found(wrong: Callable[[Told], None]) -> None:
    told = Told()
    wrong(told)
    with pytest.raises((AssertionError, KeyError)):
        told.check()
