"""Rooms of a real Synapse and of Viaduct, shared both ways, in every room version that matters today."""

import asyncio

import pytest

from tests.real_servers.neighbours import Neighbours, play
from tests.real_servers.steps import (
    VERSIONS,
    becomes,
    content,
    meet,
    membership,
    said,
    section,
    server_of,
    texts,
    until,
)
from tests.scenarios.client import User, unique

HISTORY = [f"message {number}" for number in range(500)]


@pytest.mark.parametrize("version", VERSIONS)
def test_joining_talking_redacting_and_being_thrown_out(neighbours: Neighbours, version: str) -> None:
    async def steps(alice: User, bob: User) -> None:
        for host, guest in ((alice, bob), (bob, alice)):
            alias = unique("room")
            room_id = await host.create_room(
                preset="public_chat", room_version=version, room_alias_name=alias, name="Shared"
            )
            await host.send(room_id, "before")
            await guest.join(f"#{alias}:{server_of(host)}")
            await said(guest, room_id, "before")
            await host.send(room_id, "from the host")
            await said(guest, room_id, "from the host")
            await guest.send(room_id, "from the guest")
            await said(host, room_id, "from the guest")
            event_id = await host.send(room_id, "to be redacted")
            await said(guest, room_id, "to be redacted")
            await host.put(("rooms", room_id, "redact", event_id, unique("t")), {})

            async def is_gone(guest: User = guest, room_id: str = room_id) -> bool:
                return "to be redacted" not in await texts(guest, room_id)

            await until(is_gone, "the redaction takes effect")
            await host.post(("rooms", room_id, "kick"), {"user_id": guest.user_id})
            await section(guest, "leave", room_id)
            await guest.join(room_id, query={"via": server_of(host), "server_name": server_of(host)})
            await becomes(host, room_id, guest, "join")
            await host.post(("rooms", room_id, "ban"), {"user_id": guest.user_id})
            await section(guest, "leave", room_id)
            query = {"via": server_of(host), "server_name": server_of(host)}
            await guest.post(("join", room_id), {}, query=query, status=403)
            await host.post(("rooms", room_id, "unban"), {"user_id": guest.user_id})

            async def joins(guest: User = guest, room_id: str = room_id, query: dict[str, str] = query) -> bool:
                return (await guest.ask("POST", ("join", room_id), {}, query=query)).status == 200

            await until(joins, "who is unbanned may join")

    play(neighbours, steps)


@pytest.mark.parametrize("version", VERSIONS)
def test_invites_are_accepted_rejected_and_taken_back(neighbours: Neighbours, version: str) -> None:
    async def steps(alice: User, bob: User) -> None:
        for host, guest in ((alice, bob), (bob, alice)):
            options = {"preset": "private_chat", "room_version": version, "name": "Come in", "invite": [guest.user_id]}
            accepted = await host.create_room(**options)
            invite = await section(guest, "invite", accepted)
            told = {event["type"]: event["content"] for event in invite["invite_state"]["events"]}
            assert told["m.room.name"] == {"name": "Come in"}
            await guest.join(accepted)
            await becomes(host, accepted, guest, "join")
            await guest.send(accepted, "here I am")
            await said(host, accepted, "here I am")
            rejected = await host.create_room(**options)
            await section(guest, "invite", rejected)
            await guest.post(("rooms", rejected, "leave"))
            await becomes(host, rejected, guest, "leave")
            taken_back = await host.create_room(**options)
            await section(guest, "invite", taken_back)
            await host.post(("rooms", taken_back, "kick"), {"user_id": guest.user_id})
            await section(guest, "leave", taken_back)

    play(neighbours, steps)


@pytest.mark.parametrize("version", ["9", "10", "11", "12"])
def test_knocking(neighbours: Neighbours, version: str) -> None:
    async def steps(alice: User, bob: User) -> None:
        for host, guest in ((alice, bob), (bob, alice)):
            rules = {"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}}
            room_id = await host.create_room(room_version=version, initial_state=[rules], name="Knock")
            query = {"via": server_of(host), "server_name": server_of(host)}
            await guest.post(("knock", room_id), {"reason": "please"}, query=query)
            await becomes(host, room_id, guest, "knock")
            await section(guest, "knock", room_id)
            await host.invite(room_id, guest)
            await section(guest, "invite", room_id)
            await guest.join(room_id)
            await becomes(host, room_id, guest, "join")

    play(neighbours, steps)


@pytest.mark.parametrize("version", ["8", "9", "10", "11", "12"])
def test_restricted_rooms(neighbours: Neighbours, version: str) -> None:
    async def steps(alice: User, bob: User) -> None:
        for host, guest in ((alice, bob), (bob, alice)):
            hall = await meet(host, guest, room_version=version)
            allowed = {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": hall}]}
            rules = {"type": "m.room.join_rules", "state_key": "", "content": allowed}
            room_id = await host.create_room(room_version=version, initial_state=[rules])
            await guest.join(room_id, query={"via": server_of(host), "server_name": server_of(host)})
            await becomes(host, room_id, guest, "join")
            await guest.send(room_id, "let in")
            await said(host, room_id, "let in")

    play(neighbours, steps)


@pytest.mark.parametrize("version", VERSIONS)
def test_edits_and_reactions(neighbours: Neighbours, version: str) -> None:
    async def steps(alice: User, bob: User) -> None:
        for host, guest in ((alice, bob), (bob, alice)):
            room_id = await meet(host, guest, room_version=version)
            for user, other in ((host, guest), (guest, host)):
                event_id = await user.send(room_id, "befor")
                await said(other, room_id, "befor")
                new = {"msgtype": "m.text", "body": "before"}
                edit = {**new, "m.new_content": new, "m.relates_to": {"rel_type": "m.replace", "event_id": event_id}}
                await user.send_event(room_id, "m.room.message", edit)
                reaction = {"m.relates_to": {"rel_type": "m.annotation", "event_id": event_id, "key": "+"}}
                reacted = await user.send_event(room_id, "m.reaction", reaction)

                async def is_changed(room_id: str = room_id, event_id: str = event_id, other: User = other) -> bool:
                    # A busy Synapse does not know for a moment what it has shown already.
                    event = (await other.ask("GET", ("rooms", room_id, "event", event_id))).body
                    replaced = event.get("unsigned", {}).get("m.relations", {}).get("m.replace", {})
                    return bool(replaced.get("content", {}).get("m.new_content", {}).get("body") == "before")

                await until(is_changed, "the edit is shown")

                async def is_there(room_id: str = room_id, reacted: str = reacted, other: User = other) -> bool:
                    return (await other.ask("GET", ("rooms", room_id, "event", reacted))).status == 200

                await until(is_there, "the reaction is there")

    play(neighbours, steps)


def test_who_shares_a_room_is_found(neighbours: Neighbours) -> None:
    async def steps(alice: User, bob: User) -> None:
        await meet(alice, bob, name="Where we meet")
        for user, other in ((alice, bob), (bob, alice)):
            name = unique("Somebody")
            await other.put(("profile", other.user_id, "displayname"), {"displayname": name})

            async def is_found(user: User = user, other: User = other, name: str = name) -> bool:
                body = {"search_term": name, "limit": 10}
                found = await user.post(("user_directory", "search"), body)
                return other.user_id in [one["user_id"] for one in found["results"]]

            await until(is_found, f"{user.user_id} finds {other.user_id}", 60)

    play(neighbours, steps)


@pytest.mark.parametrize("version", VERSIONS)
def test_power_topics_names_and_upgrades(neighbours: Neighbours, version: str) -> None:
    async def steps(alice: User, bob: User) -> None:
        for host, guest in ((alice, bob), (bob, alice)):
            room_id = await meet(host, guest, room_version=version)
            levels = await content(host, room_id, "m.room.power_levels")
            levels["users"][guest.user_id] = 50
            await host.set_state(room_id, "m.room.power_levels", levels)

            async def may(guest: User = guest, room_id: str = room_id) -> bool:
                told = await content(guest, room_id, "m.room.power_levels")
                return bool(told["users"].get(guest.user_id) == 50)

            await until(may, "the guest hears of his power")
            await guest.set_state(room_id, "m.room.topic", {"topic": "by the guest"})
            await guest.put(("profile", guest.user_id, "displayname"), {"displayname": "Another name"})

            async def is_told(host: User = host, guest: User = guest, room_id: str = room_id) -> bool:
                topic = await content(host, room_id, "m.room.topic")
                member = await content(host, room_id, "m.room.member", guest.user_id)
                return topic.get("topic") == "by the guest" and member.get("displayname") == "Another name"

            await until(is_told, "the host hears of topic and name")
            new = (await host.post(("rooms", room_id, "upgrade"), {"new_version": "12"}))["replacement_room"]

            async def is_replaced(guest: User = guest, room_id: str = room_id, new: str = new) -> bool:
                tombstone = await content(guest, room_id, "m.room.tombstone")
                return bool(tombstone.get("replacement_room") == new)

            await until(is_replaced, "the guest hears of the new room")
            await guest.join(new, query={"via": server_of(host), "server_name": server_of(host)})
            await becomes(host, new, guest, "join")

    play(neighbours, steps)


@pytest.mark.parametrize("version", VERSIONS)
def test_leaving_and_coming_back(neighbours: Neighbours, version: str) -> None:
    async def steps(alice: User, bob: User) -> None:
        for host, guest in ((alice, bob), (bob, alice)):
            room_id = await meet(host, guest, room_version=version)
            await guest.post(("rooms", room_id, "leave"))
            await becomes(host, room_id, guest, "leave")
            await host.set_state(room_id, "m.room.topic", {"topic": "changed meanwhile"})
            for number in range(12):
                await host.send(room_id, f"unheard {number}")
            await guest.join(room_id, query={"via": server_of(host), "server_name": server_of(host)})
            assert await membership(guest, room_id, guest) == "join"
            assert (await content(guest, room_id, "m.room.topic"))["topic"] == "changed meanwhile"
            await host.send(room_id, "welcome back")
            await said(guest, room_id, "welcome back")
            await said(guest, room_id, "unheard 0")

    play(neighbours, steps)


@pytest.mark.parametrize("version", VERSIONS)
def test_five_hundred_events_of_history(neighbours: Neighbours, version: str) -> None:
    async def host_and_read(host: User, guest: User) -> None:
        room_id = await host.create_room(preset="public_chat", room_version=version)
        for text in HISTORY:
            await host.send(room_id, text)
        await guest.join(room_id, query={"via": server_of(host), "server_name": server_of(host)})

        async def whole() -> bool:
            try:
                return await texts(guest, room_id) == HISTORY
            except TimeoutError:  # a Synapse that fetches on a busy machine; it goes on, and has more next time
                return False

        await until(whole, "the guest reads all history, in its order", 180)

    async def steps(alice: User, bob: User) -> None:
        await asyncio.gather(host_and_read(alice, bob), host_and_read(bob, alice))

    play(neighbours, steps)
