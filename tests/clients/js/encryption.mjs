// Plays with keys: cross-signing, secret storage, key backup, verification, encrypted rooms, history after a new login.

import { strict as assert } from "node:assert";
import { CryptoEvent } from "matrix-js-sdk/lib/crypto-api/index.js";
import { VerificationPhase, VerifierEvent } from "matrix-js-sdk/lib/crypto-api/verification.js";
import { Device, ENCRYPTION, bootstrap, until, withKeys } from "./users.mjs";

function serversBackup(device) {
    const v3 = { prefix: "/_matrix/client/v3" };
    return device.client.http.authedRequest("GET", "/room_keys/version", undefined, undefined, v3);
}

export async function cross_signing_secret_storage_and_backup(baseUrl) {
    const alice = await withKeys(await Device.register(baseUrl, "alice"));
    await bootstrap(alice);
    assert(await alice.crypto.isCrossSigningReady());
    assert(await alice.crypto.isSecretStorageReady());
    const status = await alice.crypto.getDeviceVerificationStatus(alice.userId, alice.deviceId);
    assert(status.crossSigningVerified);
    const version = await until("the backup is in use", () => alice.crypto.getActiveSessionBackupVersion());
    assert.equal(version, (await serversBackup(alice)).version);
    alice.stop();
}

async function verify(asking, asked) {
    const incoming = new Promise((resolve) => asked.client.once(CryptoEvent.VerificationRequestReceived, resolve));
    const request = await asking.crypto.requestOwnUserVerification();
    const received = await incoming;
    await received.accept();
    await until("the request is ready", () => request.phase === VerificationPhase.Ready);
    const verifier = await request.startVerification("m.sas.v1");
    const other = await until("the other side has a verifier", () => received.verifier);
    const shown = [];
    for (const one of [verifier, other]) {
        one.on(VerifierEvent.ShowSas, async (sas) => {
            shown.push(sas.sas.emoji.map(([emoji]) => emoji).join(""));
            await sas.confirm();
        });
    }
    await Promise.all([verifier.verify(), other.verify()]);
    assert.equal(shown[0], shown[1]);
    await until("both sides are done", () => request.phase === VerificationPhase.Done);
}

export async function two_devices_verify_each_other_by_emoji(baseUrl) {
    const first = await withKeys(await Device.register(baseUrl, "alice"));
    await bootstrap(first);
    const second = await withKeys(await first.login());
    await until("the first device sees the second", async () => {
        const devices = await first.crypto.getUserDeviceInfo([first.userId], true);
        return devices.get(first.userId).has(second.deviceId);
    });
    await verify(second, first);
    await until("the second device is cross-signed", async () => {
        const status = await first.crypto.getDeviceVerificationStatus(first.userId, second.deviceId);
        return status?.crossSigningVerified;
    });
    await until("the second device has the keys", () => second.crypto.isCrossSigningReady());
    first.stop();
    second.stop();
}

export async function encrypted_rooms_and_their_history_after_a_new_login(baseUrl) {
    const alice = await withKeys(await Device.register(baseUrl, "alice"));
    const bob = await withKeys(await Device.register(baseUrl, "bob"));
    await bootstrap(bob);
    const roomId = await alice.createRoom({ invite: [bob.userId], initial_state: [ENCRYPTION] });
    await bob.membership(roomId, "invite");
    await bob.client.joinRoom(roomId);
    await until("bob has joined", async () => (await alice.room(roomId)).getMember(bob.userId)?.membership === "join");
    for (const text of ["one", "two"]) await alice.client.sendTextMessage(roomId, text);
    assert((await bob.text(roomId, "two")).isEncrypted());
    await bob.client.sendTextMessage(roomId, "an answer");
    await alice.text(roomId, "an answer");
    await until("all keys are backed up", async () => {
        const { count } = await serversBackup(bob);
        return count >= 2;
    }, 60_000);
    bob.stop();
    const later = await withKeys(await bob.login());
    assert(await later.crypto.userHasCrossSigningKeys(later.userId, true));
    await later.crypto.bootstrapCrossSigning({});
    await later.crypto.loadSessionBackupPrivateKeyFromSecretStorage();
    const { imported } = await later.crypto.restoreKeyBackup();
    assert(imported >= 2, `${imported} keys`);
    await later.text(roomId, "one");
    await alice.client.sendTextMessage(roomId, "to all devices");
    await later.text(roomId, "to all devices");
    alice.stop();
    later.stop();
}

export async function a_dehydrated_device_receives_keys_while_nobody_is_logged_in(baseUrl) {
    const alice = await withKeys(await Device.register(baseUrl, "alice"));
    const bob = await withKeys(await Device.register(baseUrl, "bob"));
    await bootstrap(bob);
    assert(await bob.crypto.isDehydrationSupported());
    await bob.crypto.startDehydration({ createNewKey: true });
    const roomId = await alice.createRoom({ invite: [bob.userId], initial_state: [ENCRYPTION] });
    await bob.client.joinRoom(roomId);
    await until("bob has joined", async () => (await alice.room(roomId)).getMember(bob.userId)?.membership === "join");
    bob.stop();
    await bob.client.logout();
    await alice.client.sendTextMessage(roomId, "while you were away");
    const later = await withKeys(await bob.login());
    assert(await later.crypto.userHasCrossSigningKeys(later.userId, true));
    await later.crypto.bootstrapCrossSigning({});
    await later.crypto.startDehydration();
    assert((await later.text(roomId, "while you were away")).isEncrypted());
    alice.stop();
    later.stop();
}
