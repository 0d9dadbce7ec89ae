"""One slice of a job: the events in some rooms and how far the job has come, in one transaction.

A room that refuses the event (the user was banned from it meanwhile) is passed over: the job is about the others.
"""

from typing import Any, ClassVar

from twisted.logger import Logger

from hs_common.matrix.errors import MatrixError
from hs_common.replication.calls import Answer, Call, Intent
from hs_master import tables
from hs_master.decisions.events import EventAppender, needs_of
from hs_master.jobs.kinds import DeactivationJob, UserJob
from hs_master.rooms.needs import Needs
from hs_master.step import Knowledge, Step

_log = Logger()


class AdvanceJob(Call, frozen=True, kw_only=True):
    """Do a slice of a job about one user. Of the leader itself, never over the link."""

    answer: ClassVar[type[Answer]] = Answer
    job_id: int
    user_id: str
    job: UserJob
    room_ids: list[str]
    profile: dict[str, str]  # displayname and avatar_url as they are now
    is_last: bool


class AdvanceJobDecider:
    """Decides `AdvanceJob`."""

    def __init__(self, appender: EventAppender) -> None:
        self._appender = appender

    def queue(self, call: AdvanceJob) -> str:
        return f"job {call.job_id}"

    def rooms(self, call: AdvanceJob) -> list[str]:
        return call.room_ids

    def needs(self, call: AdvanceJob, knowledge: Knowledge) -> list[Needs]:
        needs = (
            needs_of(_intent(call, room_id, {}), knowledge, self._appender.server_name) for room_id in call.room_ids
        )
        return [need for need in needs if need is not None]

    def decide(self, call: AdvanceJob, step: Step) -> Answer:
        for room_id in call.room_ids:
            room = step.room(room_id)
            member = None if room is None else room.entry(("m.room.member", call.user_id))
            if member is None:
                continue
            try:
                self._appender.append_intent(step, _intent(call, room_id, member.content))
            except MatrixError as error:
                _log.info("a job passes over {room}: {error}", room=room_id, error=error)
        if call.is_last:
            step.row(tables.JOB_DELETE, call.job_id)
        else:
            step.upsert(tables.JOB, (str(call.job_id),), call.job_id, "", call.user_id, b"", call.room_ids[-1])
        return Answer(pos=step.pos)


def _intent(call: AdvanceJob, room_id: str, content: Any) -> Intent:
    if isinstance(call.job, DeactivationJob):
        changed: dict[str, Any] = {"membership": "leave"}
    else:
        # Other keys of the member event stay; a join is authorised once, when it is a join.
        dropped = ("displayname", "avatar_url", "join_authorised_via_users_server", "third_party_invite", "reason")
        changed = {key: value for key, value in content.items() if key not in dropped}
        changed |= {"membership": "join", **call.profile}
    return Intent(room_id=room_id, sender=call.user_id, type="m.room.member", state_key=call.user_id, content=changed)
