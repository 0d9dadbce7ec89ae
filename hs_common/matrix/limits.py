"""The table of limits on what events, identifiers and JSON may be, each with its reason. Constants only.

Limits of the specification are marked (spec); the others are ours. They apply at the door: what passes them can be
stored, indexed and sent on.
"""

# (spec) A complete event as canonical JSON in federation format, signatures included.
# Client-server API, #size-limits.
MAX_EVENT_BYTES = 65536

# (spec) User ids, room ids, event ids, room aliases with sigil and domain; `type` and `state_key` of events.
# Appendices, #identifier-grammar; client-server API, #size-limits. Tags have the same limit.
MAX_ID_BYTES = 255

# The specification bounds none of these; they are indexed, so they get the bound of ids.
MAX_DEVICE_ID_BYTES = 255
MAX_KEY_ID_BYTES = 255
MAX_MEDIA_ID_LENGTH = 255

# (spec) References of one event. Server-server API, PDU definitions.
MAX_PREV_EVENTS = 20
MAX_AUTH_EVENTS = 10

# (spec) The highest depth: where canonical JSON is enforced (room version 6 on), and before.
MAX_DEPTH = 2**53 - 1
MAX_DEPTH_BEFORE_CANONICAL_JSON = 2**63 - 1

# (spec) Integers of canonical JSON: what a double can represent exactly. Appendices, #canonical-json.
MAX_INTEGER = 2**53 - 1

# Nesting of JSON that we accept. The encoder stops at 254 levels, and an event is embedded some levels deep in answers;
# real events nest less than ten.
MAX_JSON_DEPTH = 200

# Brackets and commas of one text that is decoded whole. Each may become a hundred bytes of memory; the largest that an
# honest server sends, an auth chain of some ten thousand events, has a third.
MAX_JSON_PARTS = 1_000_000
