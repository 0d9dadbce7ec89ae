// A bridge made with matrix-appservice-bridge: its checks of the homeserver, ghosts, rooms, events, queries, presence.

import { strict as assert } from "node:assert";
import bridges from "matrix-appservice-bridge";

const GHOSTS = 50;

export async function play({ url, path, registration, alice, until }) {
    bridges.Logger.configure({ console: "off" });
    const prefix = registration.namespaces.users[0].regex.slice(1, -2);
    const heard = { events: [], aliases: [] };
    const bridge = new bridges.Bridge({
        homeserverUrl: url,
        domain: "localhost",
        registration: path,
        disableStores: true,
        controller: {
            onUserQuery: () => ({ name: "Asked for" }),
            onAliasQuery: (alias, localpart) => {
                heard.aliases.push(alias);
                return { creationOpts: { preset: "public_chat", room_alias_name: localpart } };
            },
            onEvent: (request) => heard.events.push(request.getData()),
        },
    });
    await bridge.run(Number(new URL(registration.url).port), undefined, "127.0.0.1");
    const bot = bridge.getIntent();
    await bot.ensureRegistered();

    const { room_id: roomId } = await bot.createRoom({ options: { invite: [alice.userId], preset: "private_chat" } });
    assert((await bridge.pingAppserviceRoute(roomId)) >= 0); // a message to itself
    await alice.client.joinRoom(roomId);
    const ghosts = Array.from({ length: GHOSTS }, (_, number) => bridge.getIntent(`@${prefix}${number}:localhost`));
    await Promise.all(
        ghosts.map(async (ghost, number) => {
            await ghost.ensureProfile(`Ghost ${number}`);
            await ghost.join(roomId); // by way of an invite of the bot's
            await ghost.sendText(roomId, `hello from ${number}`);
        }),
    );
    for (let number = 0; number < GHOSTS; number++) await alice.reads(`hello from ${number}`);

    const sent = await alice.client.sendText(roomId, "hello bridge");
    await until("the message", () => heard.events.some((one) => one.event_id === sent));
    await ghosts[0].sendTyping(roomId, true);
    await ghosts[0].sendReadReceipt(roomId, sent);
    await ghosts[0].setPresence("online");
    await bot.setRoomTopic(roomId, "ghosts");
    await bot.setPowerLevel(roomId, ghosts[0].userId, 50);
    await ghosts[0].kick(roomId, ghosts[1].userId, "enough");
    await until("alice sees the kick", () => // the library tells of nothing that its own users did
        alice.read.some((one) => one.state_key === ghosts[1].userId && one.content.membership === "leave"),
    );
    assert.equal((await alice.client.getRoomStateEvent(roomId, "m.room.topic", "")).topic, "ghosts");

    await alice.client.inviteUser(`@${prefix}newcomer:localhost`, roomId);
    assert.equal((await alice.client.getUserProfile(`@${prefix}newcomer:localhost`)).displayname, "Asked for");
    const alias = `#${prefix}lobby:localhost`;
    await alice.client.joinRoom(alias);
    assert.deepEqual(heard.aliases, [alias]);
    assert.equal(new Set(heard.events.map((one) => one.event_id)).size, heard.events.length, "an event came twice");
    await bridge.close();
}
