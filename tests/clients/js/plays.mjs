// Plays of matrix-js-sdk against a running server: node plays.mjs URL [NAME …]

import { say } from "./quiet.mjs";
import * as encryption from "./encryption.mjs";
import * as rooms from "./rooms.mjs";
import * as sliding from "./sliding.mjs";

const [baseUrl, ...names] = process.argv.slice(2);
if (!baseUrl) {
    say("usage: node plays.mjs URL [NAME ...]");
    process.exit(2);
}
const plays = Object.entries({ ...encryption, ...rooms, ...sliding });
let failed = 0;
for (const [name, play] of plays.filter(([name]) => !names.length || names.some((part) => name.includes(part)))) {
    const begun = Date.now();
    try {
        await play(baseUrl);
        say(`ok      ${name} (${Date.now() - begun} ms)`);
    } catch (error) {
        failed++;
        say(`FAILED  ${name}: ${error.stack ?? error}`);
    }
}
process.exit(failed ? 1 : 0);
