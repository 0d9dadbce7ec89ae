"""Room versions as data: what each version does differently from the one before.

Code asks for a rule (`room_version.restricted_joins`), never for a number. A flag is named after the words of the
specification; its comment says where the words stand. This module knows no algorithm.

Spec: room versions 1 to 12.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType


class StateResolution(Enum):
    """The state resolution algorithms. Spec: rooms/v1, v2 and v12, #state-resolution."""

    V1 = "1"
    V2 = "2"
    V2_1 = "2.1"


@dataclass(frozen=True, eq=False, slots=True)
class RedactionRules:
    """What survives a redaction. Spec: rooms/v1 and later, #redactions."""

    # Top-level keys of the event.
    event_keys: frozenset[str]
    # By event type, the keys of `content`. Types that are not listed keep nothing.
    content_keys: Mapping[str, frozenset[str]]
    # m.room.create keeps its whole content.
    keeps_create_content: bool = False
    # m.room.member keeps content.third_party_invite.signed (and nothing else of third_party_invite).
    keeps_third_party_invite_signed: bool = False

    def with_content_keys(self, **types: frozenset[str]) -> "RedactionRules":
        """The same rules where each `m.room.<name>` given keeps the keys given with it; an empty set keeps nothing."""
        changed = {f"m.room.{name}": keys for name, keys in types.items()}
        merged = {event_type: keys for event_type, keys in {**self.content_keys, **changed}.items() if keys}
        return replace(self, content_keys=MappingProxyType(merged))


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class RoomVersion:
    """The rules of one room version. Instances are singletons, compared by identity; find them in ROOM_VERSIONS."""

    identifier: str
    redaction: RedactionRules

    # --- Event format ---
    # The event id is the reference hash and is not part of the PDU; prev_events and auth_events are plain ids. (v3)
    event_id_is_hash: bool = False
    # The hash in the event id is in URL-safe base64. (v4)
    event_id_url_safe: bool = False
    # Canonical JSON is enforced: no floats, integers within ±(2^53 − 1), which also bounds `depth`. (v6)
    enforce_canonical_json: bool = False
    # `redacts` of m.room.redaction stands in `content` instead of at the top level. (v11)
    redacts_in_content: bool = False
    # The room id is the create event's id with the sigil "!"; the create event itself carries no room_id. (v12)
    room_id_is_create_hash: bool = False

    # --- Signatures ---
    # Events must also be signed by the server named in the event id. (v1, v2)
    event_id_domain_must_sign: bool = True
    # The signing key must have been valid at the event's origin_server_ts. (v5)
    enforce_key_validity: bool = False

    # --- Authorisation rules ---
    # Redactions are limited by the redact level or by the event ids' domains within the auth rules (rule 11). (v1, v2)
    redaction_checked_by_auth_rules: bool = True
    # m.room.aliases is allowed when the state_key is the sender's domain (rule 4). (v1 to v5)
    special_case_aliases_auth: bool = True
    # `notifications` in m.room.power_levels is limited like `events`. (v6)
    limit_notifications_power_levels: bool = False
    # Membership and join rule `knock`. (v7)
    knocking: bool = False
    # Join rule `restricted`, join_authorised_via_users_server. (v8)
    restricted_joins: bool = False
    # Join rule `knock_restricted`. (v10)
    knock_restricted_join_rule: bool = False
    # Power levels must be integers; before, strings and floats that denote one are accepted. (v10)
    integer_power_levels: bool = False
    # The create event must have `content.creator`, and that is the creator; after, the sender is. (v1 to v10)
    creator_in_content: bool = True
    # Creators have infinite power, stand in no power levels event, and may be several (additional_creators). (v12)
    privileged_creators: bool = False
    # m.room.create is selected as an auth event; after, the room id stands for it. (v1 to v11)
    create_in_auth_events: bool = True

    # --- State resolution ---
    state_resolution: StateResolution = StateResolution.V2

    def __repr__(self) -> str:
        return f"RoomVersion({self.identifier!r})"


def _keys(names: str) -> frozenset[str]:
    return frozenset(names.split())


_REDACTION_V1 = RedactionRules(
    event_keys=_keys(
        "event_id type room_id sender state_key content hashes signatures depth prev_events prev_state auth_events "
        "origin origin_server_ts membership"
    ),
    content_keys=MappingProxyType(
        {
            "m.room.member": _keys("membership"),
            "m.room.create": _keys("creator"),
            "m.room.join_rules": _keys("join_rule"),
            "m.room.power_levels": _keys("ban events events_default kick redact state_default users users_default"),
            "m.room.aliases": _keys("aliases"),
            "m.room.history_visibility": _keys("history_visibility"),
        }
    ),
)
# m.room.aliases has lost its meaning.
_REDACTION_V6 = _REDACTION_V1.with_content_keys(aliases=frozenset())
_REDACTION_V8 = _REDACTION_V6.with_content_keys(join_rules=_keys("join_rule allow"))
_REDACTION_V9 = _REDACTION_V8.with_content_keys(member=_keys("membership join_authorised_via_users_server"))
_REDACTION_V11 = replace(
    _REDACTION_V9.with_content_keys(
        create=frozenset(),
        power_levels=_REDACTION_V1.content_keys["m.room.power_levels"] | {"invite"},
        redaction=_keys("redacts"),
    ),
    event_keys=_REDACTION_V1.event_keys - {"origin", "membership", "prev_state"},
    keeps_create_content=True,
    keeps_third_party_invite_signed=True,
)

_V1 = RoomVersion("1", _REDACTION_V1, state_resolution=StateResolution.V1)
_V2 = replace(_V1, identifier="2", state_resolution=StateResolution.V2)
_V3 = replace(
    _V2,
    identifier="3",
    event_id_is_hash=True,
    event_id_domain_must_sign=False,
    redaction_checked_by_auth_rules=False,
)
_V4 = replace(_V3, identifier="4", event_id_url_safe=True)
_V5 = replace(_V4, identifier="5", enforce_key_validity=True)
_V6 = replace(
    _V5,
    identifier="6",
    redaction=_REDACTION_V6,
    enforce_canonical_json=True,
    special_case_aliases_auth=False,
    limit_notifications_power_levels=True,
)
_V7 = replace(_V6, identifier="7", knocking=True)
_V8 = replace(_V7, identifier="8", redaction=_REDACTION_V8, restricted_joins=True)
_V9 = replace(_V8, identifier="9", redaction=_REDACTION_V9)
_V10 = replace(_V9, identifier="10", knock_restricted_join_rule=True, integer_power_levels=True)
_V11 = replace(_V10, identifier="11", redaction=_REDACTION_V11, redacts_in_content=True, creator_in_content=False)
_V12 = replace(
    _V11,
    identifier="12",
    room_id_is_create_hash=True,
    privileged_creators=True,
    create_in_auth_events=False,
    state_resolution=StateResolution.V2_1,
)

ROOM_VERSIONS: Mapping[str, RoomVersion] = MappingProxyType(
    {version.identifier: version for version in (_V1, _V2, _V3, _V4, _V5, _V6, _V7, _V8, _V9, _V10, _V11, _V12)}
)
