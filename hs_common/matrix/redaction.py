"""The redaction algorithm: an event stripped to what the protocol needs of it.

It makes the bytes that are signed and hashed, and what readers see of a redacted event. Whether a redaction applies is
decided elsewhere. The rules per version are data in room_versions.py.

Spec: rooms/v1 to v12, #redactions.
"""

from collections.abc import Mapping
from typing import Any

from hs_common.matrix.room_versions import RedactionRules, RoomVersion


def redact(pdu: Mapping[str, Any], room_version: RoomVersion) -> dict[str, Any]:
    """The redacted copy of a PDU; `pdu` is not changed. Values that are kept are shared with it, not copied."""
    rules = room_version.redaction
    kept_keys = rules.event_keys
    redacted = {key: value for key, value in pdu.items() if key in kept_keys}
    redacted["content"] = _redact_content(pdu["type"], pdu["content"], rules)
    return redacted


def _redact_content(event_type: str, content: Mapping[str, Any], rules: RedactionRules) -> Mapping[str, Any]:
    if event_type == "m.room.create" and rules.keeps_create_content:
        return content
    kept_keys = rules.content_keys.get(event_type)
    if kept_keys is None:
        return {}
    kept = {key: value for key, value in content.items() if key in kept_keys}
    if event_type == "m.room.member" and rules.keeps_third_party_invite_signed:
        third_party_invite = content.get("third_party_invite")
        if isinstance(third_party_invite, dict) and "signed" in third_party_invite:
            kept["third_party_invite"] = {"signed": third_party_invite["signed"]}
    return kept
