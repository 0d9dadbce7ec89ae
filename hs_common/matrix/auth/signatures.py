"""Whose signatures an event needs.

Spec: server-server API, #validating-hashes-and-signatures-on-received-events; rooms/v8, #authorisation-rules (4.2).
"""

from hs_common.matrix.auth.create_rules import is_user_id
from hs_common.matrix.auth.room_state import domain_of
from hs_common.matrix.event import Event


def required_signatures(event: Event) -> frozenset[str]:
    """The names of the servers each of which must have signed the event validly.

    May be empty only for an invite that comes of a third-party invite: its sender already signed the invitation, and
    any server of the room may send it.
    """
    version = event.room_version
    servers = set()
    if not (event.type == "m.room.member" and event.membership == "invite" and "third_party_invite" in event.content):
        servers.add(domain_of(event.sender))
    if version.event_id_domain_must_sign:
        servers.add(domain_of(event.event_id))
    authorised_via = event.content.get("join_authorised_via_users_server") if event.type == "m.room.member" else None
    if version.restricted_joins and is_user_id(authorised_via):
        servers.add(domain_of(str(authorised_via)))
    return frozenset(servers)
