// node plays.mjs URL REGISTRATION ALICE_TOKEN bot-sdk|appservice-bridge
// One application service, from its start to its stop, beside Alice, who is a user of the server.

import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import * as botSdk from "matrix-bot-sdk";
import { play as appserviceBridge } from "./appservice_bridge.mjs";
import { play as botSdkService } from "./bot_sdk.mjs";

const LIMIT_MS = 120_000;

/** Waits until something is so. */
export async function until(what, isSo) {
    for (const began = Date.now(); Date.now() - began < LIMIT_MS; ) {
        const found = await isSo();
        if (found) return found;
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`never: ${what}`);
}

/** A user of the server who reads her rooms by syncs. */
class Alice {
    constructor(url, token) {
        this.client = new botSdk.MatrixClient(url, token);
        this.read = [];
        this.client.on("room.event", (roomId, event) => this.read.push({ ...event, room_id: roomId }));
    }

    async start() {
        this.userId = await this.client.getUserId();
        await this.client.start({ room: { timeline: { limit: 1000 } } }); // all ghosts speak at once
    }

    reads(text) {
        return until(`alice reads ${text}`, () => this.read.some((event) => event.content?.body === text));
    }
}

const [url, path, token, name] = process.argv.slice(2);
const registration = JSON.parse(readFileSync(path, "utf8"));
botSdk.LogService.setLevel(botSdk.LogLevel.ERROR);
const alice = new Alice(url, token);
await alice.start();
const play = { "bot-sdk": botSdkService, "appservice-bridge": appserviceBridge }[name];
assert(play, `no such play: ${name}`);
await play({ url, path, registration, alice, until });
alice.client.stop();
process.exit(0);
