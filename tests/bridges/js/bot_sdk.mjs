// A service made with matrix-bot-sdk: registration, intents, ghosts, rooms, events, queries, typing and receipts.

import { strict as assert } from "node:assert";
import { Appservice } from "matrix-bot-sdk";

const GHOSTS = 100;

export async function play({ url, registration, alice, until }) {
    const prefix = registration.namespaces.users[0].regex.slice(1, -2);
    const service = new Appservice({
        port: Number(new URL(registration.url).port),
        bindAddress: "127.0.0.1",
        homeserverName: "localhost",
        homeserverUrl: url,
        registration,
    });
    const heard = { events: [], ephemeral: [], users: [], aliases: [] };
    service.on("room.event", (roomId, event) => heard.events.push(event));
    service.on("ephemeral.event", (event) => heard.ephemeral.push(event));
    service.on("query.user", (userId, create) => {
        heard.users.push(userId);
        create({ display_name: "Asked for" });
    });
    service.on("query.room", (alias, create) => {
        heard.aliases.push(alias);
        create({ preset: "public_chat", name: "Asked for" });
    });
    await service.begin();

    // Ghosts register, take names, are invited and join, and speak.
    const roomId = await service.botClient.createRoom({ invite: [alice.userId] });
    await until("the service hears of its room", () => heard.events.some((one) => one.type === "m.room.create"));
    await alice.client.joinRoom(roomId);
    const ghosts = Array.from({ length: GHOSTS }, (_, number) => service.getIntentForUserId(`@${prefix}${number}:localhost`));
    await Promise.all(
        ghosts.map(async (ghost, number) => {
            await ghost.ensureRegistered();
            await ghost.underlyingClient.setDisplayName(`Ghost ${number}`);
            await service.botClient.inviteUser(ghost.userId, roomId);
            await ghost.ensureJoined(roomId);
            await ghost.sendText(roomId, `hello from ${number}`);
        }),
    );
    for (let number = 0; number < GHOSTS; number++) await alice.reads(`hello from ${number}`);
    const members = await alice.client.getJoinedRoomMembersWithProfiles(roomId);
    assert.equal(members[ghosts[7].userId].display_name, "Ghost 7");
    assert.deepEqual(new Set(await service.botClient.getJoinedRoomMembers(roomId)), new Set(Object.keys(members)));

    // What Alice says, edits and redacts comes once each.
    const sent = await alice.client.sendText(roomId, "hello ghosts");
    await until("the message", () => heard.events.some((one) => one.event_id === sent));
    const redaction = await alice.client.redactEvent(roomId, sent, "no");
    await until("the redaction", () => heard.events.some((one) => one.event_id === redaction));
    assert.equal(new Set(heard.events.map((one) => one.event_id)).size, heard.events.length, "an event came twice");

    // Typing and receipts.
    await alice.client.setTyping(roomId, true, 20_000);
    await until("typing", () =>
        heard.ephemeral.some((one) => one.type === "m.typing" && one.content.user_ids.includes(alice.userId)),
    );
    await alice.client.sendReadReceipt(roomId, redaction);
    await until("the receipt", () => heard.ephemeral.some((one) => one.type === "m.receipt"));

    // Users and rooms that come into being when they are asked for.
    const newcomer = `@${prefix}newcomer:localhost`;
    await alice.client.inviteUser(newcomer, roomId);
    assert.deepEqual(heard.users, [newcomer]);
    assert.equal((await alice.client.getUserProfile(newcomer)).displayname, "Asked for");
    const alias = `#${prefix}lobby:localhost`;
    const lobby = await alice.client.joinRoom(alias);
    assert.deepEqual(heard.aliases, [alias]);
    assert.equal((await alice.client.getRoomStateEvent(lobby, "m.room.name", "")).name, "Asked for");

    // Pictures, state, moderation, leaving.
    const picture = await service.botClient.uploadContent(Buffer.from("picture"), "image/png", "a.png");
    assert(picture.startsWith("mxc://localhost/")); // it cannot be read by the SDK, which knows no authenticated media
    await service.botClient.sendStateEvent(roomId, "m.room.topic", "", { topic: "ghosts" });
    await service.botClient.kickUser(ghosts[0].userId, roomId, "enough");
    await ghosts[1].leaveRoom(roomId);
    const left = await alice.client.getJoinedRoomMembers(roomId);
    assert(!left.includes(ghosts[0].userId) && !left.includes(ghosts[1].userId));
    service.stop();
}
