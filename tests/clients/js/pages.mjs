// A play of our own pages in headless Chromium: node pages.mjs URL [PICTURES]
// Somebody makes an account on the page for registering, accepting the terms in a window that it opens, logs in on the
// page for that, and shows on a page that she may delete a session. What an app is told by each page is looked at.

import { strict as assert } from "node:assert";
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { randomBytes } from "node:crypto";
import { chromium } from "playwright-core";

const PASSWORD = "correct horse battery staple";
const STATIC = "/_matrix/static/client";
const API = "/_matrix/client/v3";
const pictures = join(dirname(fileURLToPath(import.meta.url)), "pictures");
const baseUrl = process.argv[2].replace(/\/$/, "");

/** What an app puts into its web view: each page tells it how things went. */
function app() {
    window.told = [];
    window.matrixLogin = { onLogin: (session) => window.told.push(session) };
    window.matrixRegistration = { onRegistered: (...account) => window.told.push(account) };
}

async function ask(method, path, token, body) {
    const headers = { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) };
    const answer = await fetch(baseUrl + API + path, { method, headers, body: body && JSON.stringify(body) });
    return { status: answer.status, ...(await answer.json()) };
}

function told(page) {
    return page.evaluate(() => window.told);
}

async function registers(page, username) {
    await page.goto(`${baseUrl}${STATIC}/register/?device_id=PAGE`);
    await page.locator("input[name=user]").fill("no such name!");
    await page.locator("input[name=password]").fill(PASSWORD);
    await page.getByRole("button", { name: "Create account" }).click();
    await page.locator("#problem:not([hidden])").waitFor();
    await page.locator("input[name=user]").fill(username);
    const opened = page.waitForEvent("popup");
    await page.getByRole("button", { name: "Create account" }).click();
    await page.getByRole("button", { name: "Read and accept the terms" }).click();
    const terms = await opened;
    await terms.getByRole("link", { name: "Privacy" }).waitFor();
    await terms.screenshot({ path: join(pictures, "page-terms.png") });
    await terms.getByRole("button", { name: "Accept" }).click();
    await page.locator("#done:not([hidden])").waitFor();
    await page.screenshot({ path: join(pictures, "page-registered.png") });
    const [[serverName, userId, token]] = await told(page);
    assert.equal(userId, `@${username}:${serverName}`);
    assert.deepEqual((({ user_id, device_id }) => [user_id, device_id])(await ask("GET", "/account/whoami", token)), [userId, "PAGE"]);
    return userId;
}

async function logsIn(page, username, userId) {
    await page.goto(`${baseUrl}${STATIC}/login/?initial_device_display_name=A%20page&refresh_token=true`);
    await page.locator("input[name=user]").fill(username);
    await page.locator("input[name=password]").fill("wrong");
    await page.getByRole("button", { name: "Log in" }).click();
    await page.locator("#problem:not([hidden])").waitFor();
    assert.deepEqual(await told(page), []);
    await page.locator("input[name=password]").fill(PASSWORD);
    await page.getByRole("button", { name: "Log in" }).click();
    await page.locator("#done:not([hidden])").waitFor();
    await page.screenshot({ path: join(pictures, "page-logged-in.png") });
    const [session] = await told(page);
    assert.equal(session.user_id, userId);
    assert(session.refresh_token);
    const device = await ask("GET", `/devices/${session.device_id}`, session.access_token);
    assert.equal(device.display_name, "A page");
    return session.access_token;
}

async function deletes(page, token) {
    const { session, flows } = await ask("DELETE", "/devices/PAGE", token, {});
    assert(flows.some((flow) => flow.stages[0] === "m.login.password"));
    await page.goto(`${baseUrl}${API}/auth/m.login.password/fallback/web?session=${session}`);
    await page.locator("input[name=password]").fill("wrong");
    await page.locator("button[type=submit]").click();
    await page.locator(".bad").waitFor();
    await page.evaluate(() => window.told);
    assert.equal((await ask("DELETE", "/devices/PAGE", token, { auth: { session } })).status, 401);
    await page.addInitScript(() => (window.onAuthDone = () => window.told.push("done")));
    await page.locator("input[name=password]").fill(PASSWORD);
    await page.locator("button[type=submit]").click();
    await page.waitForFunction(() => window.told && window.told.includes("done"));
    await page.screenshot({ path: join(pictures, "page-confirmed.png") });
    assert.equal((await ask("DELETE", "/devices/PAGE", token, { auth: { session } })).status, 200);
    assert.equal((await ask("GET", "/devices/PAGE", token)).status, 404);
}

mkdirSync(pictures, { recursive: true });
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
try {
    const context = await browser.newContext({ viewport: { width: 700, height: 700 } });
    await context.addInitScript(app);
    const page = await context.newPage();
    const problems = [];
    page.on("pageerror", (error) => problems.push(error.message));
    page.on("console", (message) => /Content Security Policy/.test(message.text()) && problems.push(message.text()));
    const username = `page-${randomBytes(4).toString("hex")}`;
    const userId = await registers(page, username);
    console.log("ok   an account is made on the page for registering, with terms accepted in a window");
    const token = await logsIn(page, username, userId);
    console.log("ok   its owner logs in on the page for that");
    await deletes(page, token);
    console.log("ok   and shows by a page that she may delete a session");
    assert.deepEqual(problems, []);
} finally {
    await browser.close();
}
