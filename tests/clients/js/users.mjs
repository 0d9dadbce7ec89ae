// Users of matrix-js-sdk: registering, logging in, syncing, waiting for what is to come.

import { strict as assert } from "node:assert";
import { randomBytes } from "node:crypto";
import * as sdk from "matrix-js-sdk";
import { VerificationMethod } from "matrix-js-sdk/lib/types.js";

export const PASSWORD = "correct horse battery staple";
const WAIT_MS = 30_000;

/** Waits until `find` gives something. */
export async function until(what, find, ms = WAIT_MS) {
    const end = Date.now() + ms;
    for (;;) {
        const found = await find();
        if (found) return found;
        assert(Date.now() < end, `not within ${ms} ms: ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
}

/** A device of a user. `secrets`: the key of his secret storage, once it is there. */
export class Device {
    static async register(baseUrl, name) {
        const localpart = `${name}-${randomBytes(6).toString("hex")}`;
        const anonymous = sdk.createClient({ baseUrl });
        const session = await anonymous.registerRequest({
            username: localpart,
            password: PASSWORD,
            auth: { type: "m.login.dummy" },
        });
        return new Device(baseUrl, session, { key: null });
    }

    static async login(baseUrl, user, secrets = { key: null }) {
        const anonymous = sdk.createClient({ baseUrl });
        const session = await anonymous.loginRequest({
            type: "m.login.password",
            identifier: { type: "m.id.user", user },
            password: PASSWORD,
        });
        return new Device(baseUrl, session, secrets);
    }

    /** Another device of the same user. */
    login() {
        return Device.login(this.baseUrl, this.userId, this.secrets);
    }

    constructor(baseUrl, session, secrets) {
        this.baseUrl = baseUrl;
        this.userId = session.user_id;
        this.deviceId = session.device_id;
        this.secrets = secrets;
        this.client = sdk.createClient({
            baseUrl,
            userId: session.user_id,
            deviceId: session.device_id,
            accessToken: session.access_token,
            timelineSupport: true,
            threadSupport: true,
            verificationMethods: [VerificationMethod.Sas],
            cryptoCallbacks: {
                getSecretStorageKey: async ({ keys }) => [Object.keys(keys)[0], secrets.key],
            },
        });
    }

    get crypto() {
        return this.client.getCrypto();
    }

    async startCrypto() {
        await this.client.initRustCrypto({ useIndexedDB: false });
        this.crypto.globalBlacklistUnverifiedDevices = false;
    }

    async start(options = {}) {
        const ready = new Promise((resolve) => {
            this.client.on(sdk.ClientEvent.Sync, (state) => state === "PREPARED" && resolve());
        });
        await this.client.startClient({ initialSyncLimit: 20, threadSupport: true, ...options });
        await ready;
    }

    stop() {
        this.client.stopClient();
    }

    async createRoom(options = {}) {
        const { room_id: roomId } = await this.client.createRoom({ preset: "private_chat", ...options });
        return roomId;
    }

    room(roomId) {
        return until(`the room ${roomId}`, () => this.client.getRoom(roomId));
    }

    membership(roomId, membership) {
        return until(`${this.userId} is ${membership} of ${roomId}`, () => {
            const room = this.client.getRoom(roomId);
            return room?.getMyMembership() === membership && room;
        });
    }

    /** A text that has come, decrypted if need be. */
    text(roomId, body) {
        return until(`${this.userId} reads ${body}`, async () => {
            const room = this.client.getRoom(roomId);
            const events = room?.getLiveTimeline().getEvents() ?? [];
            return events.find((event) => !event.isDecryptionFailure() && event.getContent().body === body);
        });
    }
}

export const ENCRYPTION = {
    type: "m.room.encryption",
    state_key: "",
    content: { algorithm: "m.megolm.v1.aes-sha2" },
};

export async function withKeys(device) {
    await device.startCrypto();
    await device.start();
    return device;
}

/** Makes cross-signing keys, secret storage and a key backup; answers the key of it all, as people write it down. */
export async function bootstrap(device) {
    const authUploadDeviceSigningKeys = (makeRequest) =>
        makeRequest({
            type: "m.login.password",
            identifier: { type: "m.id.user", user: device.userId },
            password: PASSWORD,
        }).catch(async (error) => {
            assert.equal(error.httpStatus, 401, String(error));
            return makeRequest({
                type: "m.login.password",
                session: error.data.session,
                identifier: { type: "m.id.user", user: device.userId },
                password: PASSWORD,
            });
        });
    await device.crypto.bootstrapCrossSigning({ authUploadDeviceSigningKeys });
    const key = await device.crypto.createRecoveryKeyFromPassphrase();
    device.secrets.key = key.privateKey;
    await device.crypto.bootstrapSecretStorage({ createSecretStorageKey: async () => key, setupNewKeyBackup: true });
    return key.encodedPrivateKey;
}
