"""One slice of noting how the members of a room are called that this server has just come to."""

from typing import ClassVar

import msgspec
import orjson

from hs_common.replication.calls import Answer, Call
from hs_common.storage.queries import Row
from hs_master import tables
from hs_master.rooms.needs import Needs
from hs_master.step import Knowledge, Step
from hs_master.user_directory import list_user


class Named(msgspec.Struct, frozen=True):
    """A user as a member event names him; whatever stood in it."""

    user_id: str
    display_name: object
    avatar_url: object


class ListMembers(Call, frozen=True, kw_only=True):
    """Note these users' names. Of the leader itself, never over the link."""

    answer: ClassVar[type[Answer]] = Answer
    job_id: int
    users: list[Named]
    is_last: bool


class ListMembersDecider:
    """Decides `ListMembers`."""

    def queue(self, call: ListMembers) -> str:
        return f"job {call.job_id}"

    def rooms(self, call: ListMembers) -> list[str]:
        return []

    def needs(self, call: ListMembers, knowledge: Knowledge) -> list[Needs]:
        return []

    def decide(self, call: ListMembers, step: Step) -> Answer:
        for user in call.users:
            list_user(step, user.user_id, user.display_name, user.avatar_url)
        if call.is_last:
            step.row(tables.JOB_DELETE, call.job_id)
        else:
            step.upsert(tables.JOB, (str(call.job_id),), call.job_id, "", "", b"", call.users[-1].user_id)
        return Answer(pos=step.pos)


def named(row: Row) -> Named:
    """Of a row (user_id, json of the member event)."""
    content = orjson.loads(row[1])["content"]
    return Named(row[0], content.get("displayname"), content.get("avatar_url"))
