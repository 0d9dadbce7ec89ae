// Hydrogen, bundled of its published SDK and served here; and people who use it in headless Chromium.
// CHROMIUM=/path/to/chromium chooses another browser.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { randomBytes } from "node:crypto";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { PASSWORD } from "./users.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const sdk = join(here, "node_modules/hydrogen-view-sdk/asset-build/assets");
export const pictures = join(here, "pictures");
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

/** Makes an account on the page for registering, or as the operator where nobody may register; answers its name. */
async function register(browser, baseUrl, name) {
    const username = `${name}-${randomBytes(4).toString("hex")}`;
    if (process.env.VIADUCT_CREATE_USER) {
        const [program, ...command] = JSON.parse(process.env.VIADUCT_CREATE_USER);
        execFileSync(program, [...command, "--password", PASSWORD, username]);
        return username;
    }
    const page = await (await browser.newContext()).newPage();
    await page.goto(`${baseUrl}/_matrix/static/client/register/`);
    await page.locator("input[name=user]").fill(username);
    await page.locator("input[name=password]").fill(PASSWORD);
    await page.getByRole("button", { name: "Create account" }).click();
    await page.locator("#done").waitFor();
    await page.context().close();
    return username;
}

/** A session of its own: what one keeps, another does not see. */
async function login(browser, app, baseUrl, username) {
    const context = await browser.newContext({ viewport: { width: 1200, height: 800 } });
    const page = await context.newPage();
    page.on("console", (message) => process.env.VERBOSE && console.log(message.text().slice(0, 300)));
    page.on("pageerror", (error) => console.log(`page error of ${username}: ${error.message}`));
    await page.goto(`${app}?server=${encodeURIComponent(baseUrl)}`);
    await page.locator("#homeserver").fill(baseUrl);
    await page.locator("#homeserver").press("Tab");
    await page.locator("#username").fill(username);
    await page.locator("#password").fill(PASSWORD);
    await page.locator("button[type=submit]").click();
    await page.locator(".LeftPanel").waitFor({ timeout: 60_000 });
    return page;
}

/** Runs a play: it gets how to register, how to log in, and how to take a picture. */
export async function play(baseUrl, scenes) {
    mkdirSync(pictures, { recursive: true });
    const { server, url } = await serve();
    const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
    let number = 0;
    const stage = {
        register: (name) => register(browser, baseUrl, name),
        login: (username) => login(browser, url, baseUrl, username),
        picture: async (page, name) => {
            const path = join(pictures, `${++number}-${name}.png`);
            await page.screenshot({ path });
            return path;
        },
    };
    try {
        await scenes(stage);
    } catch (error) {
        for (const context of browser.contexts()) for (const page of context.pages()) await stage.picture(page, "failed");
        throw error;
    } finally {
        await browser.close();
        server.close();
    }
}
