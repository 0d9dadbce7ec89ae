"""The end of having an application service's accounts deactivated: each of them was, by a call of its own."""

from typing import ClassVar

from hs_common.replication.calls import Answer, Call
from hs_master import tables
from hs_master.rooms.needs import Needs
from hs_master.step import Knowledge, Step


class EndGhosts(Call, frozen=True, kw_only=True):
    """The job is done. Of the leader itself, never over the link."""

    answer: ClassVar[type[Answer]] = Answer
    job_id: int


class EndGhostsDecider:
    """Decides `EndGhosts`."""

    def queue(self, call: EndGhosts) -> str:
        return f"job {call.job_id}"

    def rooms(self, call: EndGhosts) -> list[str]:
        return []

    def needs(self, call: EndGhosts, knowledge: Knowledge) -> list[Needs]:
        return []

    def decide(self, call: EndGhosts, step: Step) -> Answer:
        step.row(tables.JOB_DELETE, call.job_id)
        return Answer(pos=step.pos)
