"""Actions of push rules: what they mean, and what is refused."""

from typing import Any

import pytest

from hs_common.matrix.errors import MatrixError
from hs_common.matrix.push_actions import MAX_ACTIONS, NOTHING, Actions, check_actions, parse_actions

_SOUND = {"set_tweak": "sound", "value": "default"}


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        ([], NOTHING),
        (["dont_notify"], NOTHING),
        (["coalesce"], NOTHING),
        ([_SOUND, {"set_tweak": "highlight"}], NOTHING),
        (["notify"], Actions(notify=True)),
        (["notify", _SOUND], Actions(notify=True, tweaks={"sound": "default"})),
        (["notify", {"set_tweak": "highlight"}], Actions(True, True, {"highlight": True})),
        (["notify", {"set_tweak": "highlight", "value": False}], Actions(True, False, {"highlight": False})),
        (["notify", {"set_tweak": "flash"}, {"other": 1}, 5], Actions(notify=True, tweaks={"flash": None})),
        (None, NOTHING),
    ],
)
def test_parse(actions: Any, expected: Actions) -> None:
    assert parse_actions(actions) == expected


def test_historical_actions_are_stripped() -> None:
    assert check_actions(["dont_notify"]) == []
    assert check_actions(["coalesce", "notify", _SOUND]) == ["notify", _SOUND]


@pytest.mark.parametrize(
    ("actions", "errcode"),
    [
        (None, "M_BAD_JSON"),
        ("notify", "M_BAD_JSON"),
        ([5], "M_BAD_JSON"),
        (["shout"], "M_INVALID_PARAM"),
        ([{}], "M_INVALID_PARAM"),
        ([{"set_tweak": 1}], "M_INVALID_PARAM"),
        (["notify"] * (MAX_ACTIONS + 1), "M_INVALID_PARAM"),
    ],
)
def test_refused(actions: Any, errcode: str) -> None:
    with pytest.raises(MatrixError) as caught:
        check_actions(actions)
    assert (caught.value.status, caught.value.errcode) == (400, errcode)


def test_clients_get_the_actions_of_what_notifies() -> None:
    assert NOTHING.as_json() == []
    parsed = parse_actions(["notify", {"set_tweak": "sound", "value": "default"}])
    assert parsed.as_json() == ["notify", {"set_tweak": "sound", "value": "default"}]
