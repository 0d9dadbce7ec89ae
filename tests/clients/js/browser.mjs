// A play of Hydrogen, a whole web client, in headless Chromium: node browser.mjs URL
// Two users register and log in, meet in an encrypted room, talk and send a picture; then one of them logs in once more
// and the new session is verified by emoji. What they saw lies in pictures/ afterwards.

import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { pictures, play } from "./hydrogen_stage.mjs";
import { say } from "./quiet.mjs";
import { Device, ENCRYPTION, bootstrap, until, withKeys } from "./users.mjs";

const NAME = "A room of Hydrogen";

async function write(page, text) {
    const input = page.locator(".MessageComposer textarea");
    await input.fill(text);
    await input.press("Enter");
    await read(page, text);
}

function read(page, text) {
    return page.locator(".Timeline_messageBody", { hasText: text }).waitFor();
}

/** Hydrogen has no dialog for making cross-signing keys: another client of hers has made them. */
async function withCrossSigning(baseUrl, username) {
    const device = await withKeys(await Device.login(baseUrl, username));
    return { device, recoveryKey: await bootstrap(device) };
}

/** By the API: Hydrogen's dialog cannot choose the version of rooms, and does not know the room ids of version 12. */
async function meet(stage, baseUrl, device, alice, bob) {
    await device.createRoom({ name: NAME, room_version: "11", invite: [bob.userId], initial_state: [ENCRYPTION] });
    const { page: a } = alice;
    const { page: b } = bob;
    await a.locator(".RoomList li", { hasText: NAME }).click();
    await b.locator(".RoomList li", { hasText: NAME }).click();
    await stage.picture(b, "invited");
    await b.getByRole("button", { name: "Accept" }).click();
    await b.locator(".MessageComposer textarea").waitFor();
    await a.locator(".Timeline", { hasText: "joined the room" }).waitFor();
}

async function talk(stage, a, b, image) {
    await write(a, "Hello from the browser");
    await read(b, "Hello from the browser");
    await write(b, "Hello from the other one");
    await read(a, "Hello from the other one");
    await stage.picture(a, "said");
    const chooser = a.waitForEvent("filechooser");
    await a.locator(".MessageComposer .sendFile").click();
    await a.getByText("Send picture").click();
    await (await chooser).setFiles({ name: "picture.png", mimeType: "image/png", buffer: readFileSync(image) });
    await b.locator(".Timeline_message img, .Timeline_message .media img").first().waitFor();
    await b.waitForTimeout(1_500);
    await stage.picture(b, "picture");
}

function openSettings(page) {
    return page.locator(".LeftPanel a.settings").click();
}

/** With the recovery key the first session becomes one that can verify others. */
async function trust(stage, page, recoveryKey) {
    await openSettings(page);
    await page.getByPlaceholder("Security key").fill(recoveryKey);
    await page.getByRole("button", { name: "Set up" }).click();
    await page.getByText("master key found and trusted").waitFor({ timeout: 60_000 });
    await stage.picture(page, "trusted");
}

async function emojis(page) {
    await page.locator(".EmojiContainer__emoji").first().waitFor({ timeout: 60_000 });
    return page.locator(".EmojiContainer__emoji").allTextContents();
}

async function verify(stage, first, second) {
    await openSettings(second);
    await second.getByRole("button", { name: "Verify by emoji" }).click();
    await first.locator(".VerificationToastNotificationView").getByRole("button", { name: "Accept" }).click();
    await second.getByRole("button", { name: "Proceed" }).click();
    const shown = [await emojis(first), await emojis(second)];
    assert.equal(shown[0].length, 7);
    assert.deepEqual(shown[0], shown[1]);
    await stage.picture(first, "emoji-of-the-first");
    await stage.picture(second, "emoji-of-the-second");
    for (const page of [first, second]) await page.getByRole("button", { name: "They match" }).click();
    for (const page of [first, second]) await page.getByText("Verification completed").waitFor({ timeout: 60_000 });
    await stage.picture(first, "verified-by-the-first");
    await stage.picture(second, "verified-the-second");
}

/** The devices of a user that are signed by his own key. */
async function signedDevices(device) {
    const body = { device_keys: { [device.userId]: [] } };
    const told = await device.client.http.authedRequest("POST", "/keys/query", undefined, body, { prefix: "/_matrix/client/v3" });
    const [owner] = Object.keys(told.self_signing_keys[device.userId].keys);
    const devices = Object.values(told.device_keys[device.userId]);
    return devices.filter((one) => owner in (one.signatures?.[device.userId] ?? {})).map((one) => one.device_id);
}

const [baseUrl] = process.argv.slice(2);
await play(baseUrl, async (stage) => {
    const alice = await stage.register("alice");
    const bob = await stage.register("bob");
    const { device, recoveryKey } = await withCrossSigning(baseUrl, alice);
    const bobsId = device.userId.replace(alice, bob);
    const [a, b] = [await stage.login(alice), await stage.login(bob)];
    const image = await stage.picture(a, "logged-in");
    await meet(stage, baseUrl, device, { page: a }, { page: b, userId: bobsId });
    await talk(stage, a, b, image);
    await trust(stage, a, recoveryKey);
    assert.equal((await signedDevices(device)).length, 2);
    await verify(stage, a, await stage.login(alice));
    await until("the new session is signed", async () => (await signedDevices(device)).length === 3);
});
say(`ok      users of Hydrogen talk, and verify a second session; look at ${pictures}`);
process.exit(0);
