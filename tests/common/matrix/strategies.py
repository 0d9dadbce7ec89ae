"""Values for property tests of the pure core: JSON as canonical JSON allows it, and PDUs made of it."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from hs_common.matrix.limits import MAX_INTEGER
from hs_common.matrix.room_versions import ROOM_VERSIONS, RoomVersion

# For tests that sign: whole events are slow to draw, and their variety is in the room versions and types.
moderate = settings(max_examples=50)

# Any code points but surrogates; characters outside the basic plane sort differently in UTF-16.
text = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8)
integers = st.integers(min_value=-MAX_INTEGER, max_value=MAX_INTEGER)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | integers | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
json_objects = st.dictionaries(text, json_values, max_size=5)
room_versions: st.SearchStrategy[RoomVersion] = st.sampled_from(list(ROOM_VERSIONS.values()))

_event_types = st.sampled_from(
    [
        "m.room.create",
        "m.room.member",
        "m.room.join_rules",
        "m.room.power_levels",
        "m.room.aliases",
        "m.room.history_visibility",
        "m.room.redaction",
        "m.room.message",
    ]
)
_content_keys = st.sampled_from(
    [
        "membership",
        "creator",
        "join_rule",
        "allow",
        "users",
        "invite",
        "aliases",
        "history_visibility",
        "redacts",
        "third_party_invite",
        "body",
    ]
)
_hash_texts = st.text(alphabet="abcXYZ019_-", min_size=43, max_size=43)


@st.composite
def composed_pdus(draw: st.DrawFn, room_version: RoomVersion) -> dict[str, Any]:
    """A PDU as it is before its hashes and signatures are added, in the format of a room version."""
    event_type = draw(_event_types)
    ids = [f"${draw(_hash_texts)}" for _ in range(draw(st.integers(0, 3)))]
    references = ids if room_version.event_id_is_hash else [[event_id, {"sha256": "x"}] for event_id in ids]
    pdu: dict[str, Any] = {
        "type": event_type,
        "sender": "@alice:example.org",
        "content": draw(st.dictionaries(_content_keys | text, json_values, max_size=4)),
        "depth": draw(st.integers(0, MAX_INTEGER)),
        "origin_server_ts": draw(st.integers(0, MAX_INTEGER)),
        "prev_events": references,
        "auth_events": references[:1],
    }
    if draw(st.booleans()):
        pdu["state_key"] = draw(text.filter(lambda key: "\0" not in key))
    if not room_version.event_id_is_hash:
        pdu["event_id"] = f"${draw(_hash_texts)}:example.org"
    if not room_version.room_id_is_create_hash:
        pdu["room_id"] = "!room:example.org"
    elif event_type != "m.room.create":
        pdu["room_id"] = "!" + draw(_hash_texts)
    extra = draw(
        st.dictionaries(st.sampled_from(["origin", "membership", "prev_state", "org.example"]), text, max_size=2)
    )
    return {**extra, **pdu}


@st.composite
def versions_and_pdus(draw: st.DrawFn) -> tuple[RoomVersion, dict[str, Any]]:
    """A room version together with a composed PDU of it."""
    room_version = draw(room_versions)
    return room_version, draw(composed_pdus(room_version))
