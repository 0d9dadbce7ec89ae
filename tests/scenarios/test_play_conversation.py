"""Two people with matrix-nio: from registering to forgetting the room, in one process and spread over a split's."""

import asyncio
from typing import Any

from nio import (
    JoinResponse,
    MessageDirection,
    ReactionEvent,
    RedactedEvent,
    RoomContextResponse,
    RoomCreateResponse,
    RoomForgetResponse,
    RoomInviteResponse,
    RoomLeaveResponse,
    RoomMemberEvent,
    RoomMessagesResponse,
    RoomMessageText,
    RoomRedactResponse,
    RoomSendResponse,
    SyncResponse,
    TypingNoticeEvent,
)
from nio.api import RelationshipType

from tests.scenarios.caddy import Caddy
from tests.scenarios.nio_client import SpreadClient, good, registered
from tests.scenarios.server import Server

_MESSAGES = 35


def test_two_people_talk_from_registering_to_forgetting(server: Server) -> None:
    asyncio.run(conversation([server.url, *server.worker_urls()]))


def test_two_people_talk_through_a_proxy_that_has_our_routes(split: Server) -> None:
    with Caddy(split) as caddy:
        asyncio.run(conversation([caddy.url]))


async def conversation(urls: list[str]) -> None:
    """The whole play, its requests spread over the URLs."""
    async with registered(urls, "alice") as alice, registered(urls, "bob") as bob:
        room_id = await they_meet(alice, bob)
        sent = await they_talk(alice, bob, room_id)
        await bob_reads_back(bob, room_id, sent)
        await alice_redacts_and_bob_reacts(alice, bob, room_id, sent)
        await bob_replies_in_a_thread(alice, bob, room_id, sent)
        await they_type_and_read(alice, bob, room_id, sent)
        await bob_takes_another_name(alice, bob, room_id)
        await bob_leaves_and_forgets(alice, bob, room_id)


async def they_meet(alice: SpreadClient, bob: SpreadClient) -> str:
    created = good(await alice.room_create(name="The bridge", topic="Arches"), RoomCreateResponse)
    room_id: str = created.room_id
    good(await alice.room_invite(room_id, bob.user_id), RoomInviteResponse)
    invited = await bob.sync_until(lambda response: room_id in response.rooms.invite)
    kinds = {type(event).__name__ for event in invited.rooms.invite[room_id].invite_state}
    assert {"InviteNameEvent", "InviteMemberEvent"} <= kinds
    good(await bob.join(room_id), JoinResponse)
    await bob.sync_until(lambda response: room_id in response.rooms.join)
    await alice.sync_until(lambda response: bob.user_id in alice.rooms[room_id].users)
    assert bob.rooms[room_id].display_name == "The bridge"
    assert bob.rooms[room_id].topic == "Arches"
    assert set(bob.rooms[room_id].users) == {alice.user_id, bob.user_id}
    return room_id


async def they_talk(alice: SpreadClient, bob: SpreadClient, room_id: str) -> list[str]:
    """They take turns; each sees all messages once, in one order. Answers the event ids in that order."""
    sent = []
    for number in range(_MESSAGES):
        speaker = (alice, bob)[number % 2]
        sent.append(await says(speaker, room_id, {"msgtype": "m.text", "body": f"message {number}"}))
    for reader in (alice, bob):
        seen: list[str] = []

        def look(response: SyncResponse, seen: list[str] = seen) -> bool:
            seen.extend(texts_of(response, room_id))
            return len(seen) >= 10 and seen[-1] == sent[-1]

        await reader.sync_until(look)
        assert seen == sent[-len(seen) :]
    return sent


async def says(client: SpreadClient, room_id: str, content: dict[str, Any]) -> str:
    response = good(await client.room_send(room_id, "m.room.message", content), RoomSendResponse)
    return str(response.event_id)


def texts_of(response: SyncResponse, room_id: str) -> list[str]:
    """The ids of the messages of a room in one answer."""
    return [event.event_id for event in events_of(response, room_id) if isinstance(event, RoomMessageText)]


def events_of(response: SyncResponse, room_id: str) -> list[Any]:
    return list(response.rooms.join[room_id].timeline.events) if room_id in response.rooms.join else []


async def bob_reads_back(bob: SpreadClient, room_id: str, sent: list[str]) -> None:
    """Page by page to the room's beginning: each message once, newest first."""
    found: list[str] = []
    start = bob.next_batch
    while True:
        page = good(
            await bob.room_messages(room_id, start, direction=MessageDirection.back, limit=8), RoomMessagesResponse
        )
        found += [event.event_id for event in page.chunk if isinstance(event, RoomMessageText)]
        if not page.end:
            break
        start = page.end
    assert found == sent[::-1]
    context = good(await bob.room_context(room_id, sent[10], limit=4), RoomContextResponse)
    assert context.event.event_id == sent[10]
    assert [event.event_id for event in context.events_before] == [sent[9], sent[8]]
    assert [event.event_id for event in context.events_after] == [sent[11], sent[12]]


async def alice_redacts_and_bob_reacts(alice: SpreadClient, bob: SpreadClient, room_id: str, sent: list[str]) -> None:
    good(await alice.room_redact(room_id, sent[0], reason="a slip"), RoomRedactResponse)
    reaction = {"m.relates_to": {"rel_type": "m.annotation", "event_id": sent[1], "key": "👍"}}
    reacted = good(await bob.room_send(room_id, "m.reaction", reaction), RoomSendResponse)
    seen: list[Any] = []

    def look(response: SyncResponse) -> bool:
        seen.extend(events_of(response, room_id))
        return any(event.event_id == reacted.event_id for event in seen)

    await alice.sync_until(look)
    (thumb,) = [event for event in seen if isinstance(event, ReactionEvent)]
    assert (thumb.reacts_to, thumb.key, thumb.sender) == (sent[1], "👍", bob.user_id)
    context = good(await bob.room_context(room_id, sent[0], limit=0), RoomContextResponse)
    assert isinstance(context.event, RedactedEvent)
    assert (context.event.redacter, context.event.reason) == (alice.user_id, "a slip")
    related = [event async for event in alice.room_get_event_relations(room_id, sent[1], RelationshipType.annotation)]
    assert [event.event_id for event in related] == [reacted.event_id]


async def bob_replies_in_a_thread(alice: SpreadClient, bob: SpreadClient, room_id: str, sent: list[str]) -> None:
    root = sent[2]
    thread = {"rel_type": "m.thread", "event_id": root, "is_falling_back": True, "m.in_reply_to": {"event_id": root}}
    reply = await says(bob, room_id, {"msgtype": "m.text", "body": "in a thread", "m.relates_to": thread})
    await alice.sync_until(lambda response: reply in texts_of(response, room_id))
    context = good(await alice.room_context(room_id, root, limit=0), RoomContextResponse)
    summary = context.event.source["unsigned"]["m.relations"]["m.thread"]
    assert (summary["count"], summary["current_user_participated"]) == (1, True)
    assert summary["latest_event"]["event_id"] == reply


async def they_type_and_read(alice: SpreadClient, bob: SpreadClient, room_id: str, sent: list[str]) -> None:
    await bob.room_typing(room_id, True, timeout=20_000)

    def types(response: SyncResponse) -> bool:
        ephemeral = response.rooms.join[room_id].ephemeral if room_id in response.rooms.join else []
        return any(isinstance(event, TypingNoticeEvent) and event.users == [bob.user_id] for event in ephemeral)

    await alice.sync_until(types)
    await bob.room_typing(room_id, False)
    await alice.sync_until(lambda response: alice.rooms[room_id].typing_users == [])
    await bob.room_read_markers(room_id, fully_read_event=sent[-1], read_event=sent[-1])

    def has_read(response: SyncResponse) -> bool:
        receipt = alice.rooms[room_id].read_receipts.get(bob.user_id)
        return receipt is not None and receipt.event_id == sent[-1]

    await alice.sync_until(has_read)
    await bob.sync_until(lambda response: bob.rooms[room_id].fully_read_marker == sent[-1])


async def bob_takes_another_name(alice: SpreadClient, bob: SpreadClient, room_id: str) -> None:
    await bob.set_displayname("Robert")
    await alice.sync_until(lambda response: alice.rooms[room_id].users[bob.user_id].display_name == "Robert")
    profile = await alice.get_profile(bob.user_id)
    assert profile.displayname == "Robert"


async def bob_leaves_and_forgets(alice: SpreadClient, bob: SpreadClient, room_id: str) -> None:
    good(await bob.room_leave(room_id), RoomLeaveResponse)
    await bob.sync_until(lambda response: room_id in response.rooms.leave)
    good(await bob.room_forget(room_id), RoomForgetResponse)

    def has_left(response: SyncResponse) -> bool:
        members = [event for event in events_of(response, room_id) if isinstance(event, RoomMemberEvent)]
        return any(event.state_key == bob.user_id and event.membership == "leave" for event in members)

    await alice.sync_until(has_left)
    assert bob.user_id not in alice.rooms[room_id].users
    refused = await bob.room_messages(room_id, bob.next_batch)
    assert not isinstance(refused, RoomMessagesResponse)
