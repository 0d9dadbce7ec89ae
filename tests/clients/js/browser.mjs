// A play of Hydrogen, a whole web client, in headless Chromium: node browser.mjs URL
// Two users log in, meet in an encrypted room, talk and send a picture. The client is bundled of its published SDK and
// served here; what it shows lies in pictures/ afterwards. CHROMIUM=/path/to/chromium chooses another browser.

import { strict as assert } from "node:assert";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const here = dirname(fileURLToPath(import.meta.url));
const sdk = join(here, "node_modules/hydrogen-view-sdk/asset-build/assets");
const pictures = join(here, "pictures");
const NAME = "A room of Hydrogen";
const PASSWORD = "correct horse battery staple";
const TYPES = { ".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".wasm": "application/wasm", ".svg": "image/svg+xml" };
const PAGE = `<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="assets/theme-element-light.css">
<body class="hydrogen"><script type="module" src="app.js"></script>`;

async function bundle() {
    const options = { bundle: true, format: "esm", write: false, external: ["fs", "path", "crypto"], logLevel: "error" };
    const result = await build({ ...options, entryPoints: [join(here, "hydrogen.mjs")] });
    return result.outputFiles[0].text;
}

function file(path) {
    if (path === "/sw.js") return join(sdk, "../../lib-build/sw.js");
    for (const [prefix, folder] of [["/assets/", sdk], ["/olm/", join(here, "node_modules/@matrix-org/olm")]]) {
        if (path.startsWith(prefix)) return join(folder, normalize(path.slice(prefix.length)));
    }
}

async function serve() {
    const app = await bundle();
    const server = createServer((request, response) => {
        const { pathname } = new URL(request.url, "http://localhost");
        const found = file(pathname);
        const body = pathname === "/" ? PAGE : pathname === "/app.js" ? app : found && existsSync(found) && readFileSync(found);
        const type = pathname === "/" ? "text/html" : TYPES[extname(pathname)] ?? "application/octet-stream";
        response.writeHead(body ? 200 : 404, { "Content-Type": type });
        response.end(body || "");
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    return { server, url: `http://127.0.0.1:${server.address().port}/` };
}

async function register(baseUrl, name) {
    const username = `${name}-${randomBytes(4).toString("hex")}`;
    const body = JSON.stringify({ username, password: PASSWORD, auth: { type: "m.login.dummy" } });
    const response = await fetch(`${baseUrl}/_matrix/client/v3/register`, { method: "POST", body });
    const session = await response.json();
    assert.equal(response.status, 200, JSON.stringify(session));
    return { username, ...session };
}

async function login(browser, app, baseUrl, user) {
    const context = await browser.newContext({ viewport: { width: 1200, height: 800 } });
    const page = await context.newPage();
    page.on("console", (message) => process.env.VERBOSE && console.log(message.text().slice(0, 300)));
    page.on("pageerror", (error) => console.log(`page error of ${user.username}: ${error.message}`));
    await page.goto(`${app}?server=${encodeURIComponent(baseUrl)}`);
    await page.locator("#homeserver").fill(baseUrl);
    await page.locator("#homeserver").press("Tab");
    await page.locator("#username").fill(user.username);
    await page.locator("#password").fill(PASSWORD);
    await page.locator("button[type=submit]").click();
    await page.locator(".LeftPanel").waitFor({ timeout: 60_000 });
    return page;
}

async function say(page, text) {
    const input = page.locator(".MessageComposer textarea");
    await input.fill(text);
    await input.press("Enter");
    await read(page, text);
}

function read(page, text) {
    return page.locator(".Timeline_messageBody", { hasText: text }).waitFor();
}

/** By the API: Hydrogen's dialog cannot choose the version of rooms, and does not know the room ids of version 12. */
async function createRoom(baseUrl, alice, bob) {
    const encryption = { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } };
    const body = { name: NAME, room_version: "11", preset: "private_chat", invite: [bob.user_id], initial_state: [encryption] };
    const headers = { Authorization: `Bearer ${alice.access_token}` };
    const url = `${baseUrl}/_matrix/client/v3/createRoom`;
    const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
    assert.equal(response.status, 200, await response.text());
}

async function play(baseUrl) {
    mkdirSync(pictures, { recursive: true });
    const { server, url } = await serve();
    const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
    let number = 0;
    const picture = (page, name) => page.screenshot({ path: join(pictures, `${++number}-${name}.png`) });
    try {
        const [alice, bob] = [await register(baseUrl, "alice"), await register(baseUrl, "bob")];
        const [a, b] = [await login(browser, url, baseUrl, alice), await login(browser, url, baseUrl, bob)];
        await picture(a, "logged-in");
        await createRoom(baseUrl, alice, bob);
        await a.locator(".RoomList li", { hasText: NAME }).click();
        await b.locator(".RoomList li", { hasText: NAME }).click();
        await picture(b, "invited");
        await b.getByRole("button", { name: "Accept" }).click();
        await b.locator(".MessageComposer textarea").waitFor();
        await a.locator(".Timeline", { hasText: "joined the room" }).waitFor();
        await say(a, "Hello from the browser");
        await read(b, "Hello from the browser");
        await say(b, "Hello from the other one");
        await read(a, "Hello from the other one");
        await picture(a, "said");
        const image = readFileSync(join(pictures, "1-logged-in.png"));
        const chooser = a.waitForEvent("filechooser");
        await a.locator(".MessageComposer .sendFile").click();
        await a.getByText("Send picture").click();
        await (await chooser).setFiles({ name: "picture.png", mimeType: "image/png", buffer: image });
        await b.locator(".Timeline_message img, .Timeline_message .media img").first().waitFor();
        await b.waitForTimeout(1_500);
        await picture(b, "picture");
    } catch (error) {
        for (const context of browser.contexts()) for (const page of context.pages()) await picture(page, "failed");
        throw error;
    } finally {
        await browser.close();
        server.close();
    }
}

await play(process.argv[2]);
console.log(`ok      two users of Hydrogen talk; look at ${pictures}`);
