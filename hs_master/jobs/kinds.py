"""Work that takes many small appends: its kinds, and how it is noted in the transaction that causes it.

A job's row says what is to be done and how far it is; the leader runs it in slices (`runner`) and, after a fail-over,
the next leader goes on from there. Doing a slice twice changes nothing.
"""

from typing import Final

import msgspec

from hs_master import tables
from hs_master.step import Step


class ProfileJob(msgspec.Struct, frozen=True, tag="profile"):
    """Bring the user's display name and avatar, as they are now, into the rooms he is joined to."""


class DeactivationJob(msgspec.Struct, frozen=True, tag="deactivation"):
    """Drop the key backup, leave all rooms, reject all invites and knocks."""


class GuestsJob(msgspec.Struct, frozen=True, tag="guests"):
    """Have the guests in a room leave it. Of no user."""

    room_id: str


class CarryOverJob(msgspec.Struct, frozen=True, tag="carry_over"):
    """Carry bans and children of a space over to the room that replaced theirs. Of who upgraded the room."""

    old_room_id: str
    room_id: str


class ListMembersJob(msgspec.Struct, frozen=True, tag="list_members"):
    """Note in the user directory who is in a room from elsewhere. Of no user."""

    room_id: str
    local_suffix: str


class DeleteRoomJob(msgspec.Struct, frozen=True, tag="delete_room"):
    """Have this server's users leave a room, and then, if `purge`, remove its rows, from `due_ms` on. Of no user."""

    room_id: str
    delete_id: str
    purge: bool
    reason: str | None
    due_ms: int


class GhostsJob(msgspec.Struct, frozen=True, tag="ghosts"):
    """Deactivate the accounts that an application service has made. Of no user."""

    service_id: str


class RevealJob(msgspec.Struct, frozen=True, tag="reveal"):
    """Show the redactions in a room that waited for these events, and let them take effect. Of no user."""

    room_id: str
    target_ids: list[str]


UserJob = ProfileJob | DeactivationJob
Job = UserJob | GuestsJob | CarryOverJob | ListMembersJob | DeleteRoomJob | GhostsJob | RevealJob

_encoder = msgspec.msgpack.Encoder()
_decoder: Final[msgspec.msgpack.Decoder[Job]] = msgspec.msgpack.Decoder(Job)


def write_job(step: Step, user_id: str, job: Job) -> None:
    """Note a job (`user_id` is empty if it is of no user); its id is the last position of the step."""
    kind = job.__struct_config__.tag
    step.notes_job = True
    step.row(tables.JOB, step.pos, kind, user_id, _encoder.encode(job), "")


def decode_job(body: bytes) -> Job:
    return _decoder.decode(body)
