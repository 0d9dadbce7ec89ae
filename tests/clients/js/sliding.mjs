// Plays over sliding sync instead of /sync.

import { strict as assert } from "node:assert";
import { SlidingSync } from "matrix-js-sdk/lib/sliding-sync.js";
import { Device, ENCRYPTION, until } from "./users.mjs";

const STATE = [["*", "*"], ["m.room.member", "$LAZY"], ["m.room.member", "$ME"]];

async function startSliding(device, end) {
    const list = { ranges: [[0, end]], timeline_limit: 5, required_state: STATE };
    const subscription = { timeline_limit: 20, required_state: STATE };
    const slidingSync = new SlidingSync(device.baseUrl, new Map([["all", list]]), subscription, device.client, 5_000);
    await device.startCrypto();
    await device.start({ slidingSync });
    return slidingSync;
}

export async function sliding_sync_shows_rooms_and_decrypts(baseUrl) {
    const alice = await Device.register(baseUrl, "alice");
    await alice.startCrypto();
    await alice.start();
    const bob = await Device.register(baseUrl, "bob");
    const roomIds = [];
    for (let number = 0; number < 4; number++) {
        roomIds.push(await alice.createRoom({ invite: [bob.userId], name: `Room ${number}`, initial_state: [ENCRYPTION] }));
        await bob.client.joinRoom(roomIds[number]);
    }
    const sliding = await startSliding(bob, 1);
    await bob.membership(roomIds[3], "join");
    await bob.membership(roomIds[2], "join");
    assert.equal(bob.client.getRoom(roomIds[0]), null);
    assert.equal(sliding.getListData("all").joinedCount, 4);
    sliding.setListRanges("all", [[0, 9]]);
    const room = await bob.membership(roomIds[0], "join");
    assert.equal(room.name, "Room 0");
    await alice.client.sendTextMessage(roomIds[0], "secret");
    assert((await bob.text(roomIds[0], "secret")).isEncrypted());
    sliding.modifyRoomSubscriptions(new Set([roomIds[0]]));
    await bob.client.sendTextMessage(roomIds[0], "an answer");
    await alice.text(roomIds[0], "an answer");
    const roomId = await alice.createRoom({ invite: [bob.userId] });
    await bob.membership(roomId, "invite");
    await bob.client.joinRoom(roomId);
    await bob.membership(roomId, "join");
    await alice.client.sendTextMessage(roomId, "welcome");
    await bob.text(roomId, "welcome");
    await alice.client.sendTyping(roomId, true, 5_000);
    await until("alice types", () => bob.client.getRoom(roomId).getMember(alice.userId)?.typing);
    await bob.client.setRoomTag(roomId, "m.favourite", { order: 0.5 });
    await until("the tag", () => bob.client.getRoom(roomId).tags["m.favourite"]);
    await alice.client.kick(roomId, bob.userId);
    await bob.membership(roomId, "leave");
    alice.stop();
    bob.stop();
}
