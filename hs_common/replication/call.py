"""What every call and every answer is made of; the calls themselves stand in `calls` and `federation_calls`."""

from typing import ClassVar

import msgspec


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What most calls answer: the position of the change (of the last commit, where nothing changed)."""

    pos: int


class Call(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all calls. `answer` is the type of the call's answer."""

    answer: ClassVar[type[Answer]] = Answer
