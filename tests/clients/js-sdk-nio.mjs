// Somebody with two devices of matrix-js-sdk talks in an encrypted room with somebody who has
// matrix-nio, each on a server of theirs, which may be the same:
//
//   node tests/clients/js-sdk-nio.mjs http://localhost:8008 [http://localhost:8009]
//
// Every step is printed; the exit code is 0 only if all of them worked.

import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createRoom, knownDevices, logIn, readAll, say, untilEncrypted } from "./encryption.mjs";
import { eventually, register, tell, timeline, untilMember } from "./sdk.mjs";

const [first, second = first] = process.argv.slice(2);
if (!first) {
  console.error("usage: node js-sdk-nio.mjs BASE_URL [BASE_URL]");
  process.exit(2);
}

function step(text) {
  console.log(`js-sdk-nio: ${text}`);
}

/** Starts the one with matrix-nio, and waits until they are there: their ID, and their end. */
async function startOther() {
  const script = fileURLToPath(new URL("nio-e2e.py", import.meta.url));
  const options = { stdio: ["ignore", "pipe", "inherit"] };
  const process = spawn("python3", [script, "--answer", second], options);
  const ended = once(process, "exit");
  const lines = createInterface({ input: process.stdout });
  const userId = new Promise((resolve, reject) => {
    lines.on("line", (line) => {
      if (line.startsWith("user: ")) resolve(line.slice("user: ".length));
      else console.log(line);
    });
    lines.on("close", () => reject(new Error("matrix-nio has ended")));
  });
  return [await userId, ended];
}

/** One device says something, both read the answer to it. */
async function hasAnswer(speaker, clients, roomId, body) {
  const others = clients.filter((it) => it !== speaker);
  await say(speaker, others, roomId, body);
  for (const client of clients) {
    await eventually(`the answer to ${body}`, () => {
      return timeline(client, roomId).some((it) => it.getContent().body === `You say: ${body}`);
    });
  }
}

async function story() {
  const aliceId = await register(first, "alice");
  const alices = [await logIn(first, aliceId), await logIn(first, aliceId)];
  const [other, ended] = await startOther();
  const roomId = await createRoom(alices[0], [other]);
  for (const client of alices) {
    await untilMember(client, roomId, other, "join");
    await untilEncrypted(client, roomId);
    const known = async () => (await knownDevices(client, other)).length === 1;
    await eventually("the other one's device", known);
  }
  step(`${aliceId} and ${other} are in an encrypted room`);
  await hasAnswer(alices[0], alices, roomId, "Hello");
  await hasAnswer(alices[1], alices, roomId, "Hello again");
  await alices[0].getCrypto().forceDiscardSession(roomId);
  await hasAnswer(alices[0], alices, roomId, "Goodbye");
  step("both devices read what matrix-nio answers to each");
  assert.deepEqual(await ended, [0, null]);
  for (const client of alices) assert.equal(await readAll(client, roomId), 6);
}

await tell(story, step);
