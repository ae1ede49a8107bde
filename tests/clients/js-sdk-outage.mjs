// Two people with two devices each talk in an encrypted room while first the one's server is away
// and then the other's, which the server that is there does not forget even if it is stopped too:
//
//   node tests/clients/js-sdk-outage.mjs http://localhost:8008 http://localhost:8009
//
// It says when a server has to be stopped and started ("please: stop second"), and goes on when it
// reads a line. Every step is printed; the exit code is 0 only if all of them worked.

import { strict as assert } from "node:assert";
import { once } from "node:events";
import { createInterface } from "node:readline";
import {
  catchUp,
  createRoom,
  deciphered,
  deviceOf,
  isGivenDevices,
  join,
  logIn,
  readAll,
  say,
  untilDevices,
  untilEncrypted,
} from "./encryption.mjs";
import { register, tell } from "./sdk.mjs";

/** Messages that each device of a user says while the other server is away. */
const SAID = 12;

const [first, second] = process.argv.slice(2);
if (!second) {
  console.error("usage: node js-sdk-outage.mjs BASE_URL BASE_URL");
  process.exit(2);
}

const answers = createInterface({ input: process.stdin });
// Nobody is there any more.
answers.on("close", () => process.exit(1));

function step(text) {
  console.log(`js-sdk-outage: ${text}`);
}

/** Has somebody stop or start a server. */
async function ask(wish) {
  const answered = once(answers, "line");
  console.log(`please: ${wish}`);
  await answered;
}

/** All say so much, with a new key half way, and read it of each other. */
async function sayMuch(speakers, roomId) {
  const said = [];
  for (let number = 0; number < SAID; number++) {
    for (const speaker of speakers) {
      if (number === SAID / 2) await speaker.getCrypto().forceDiscardSession(roomId);
      const others = speakers.filter((it) => it !== speaker);
      const event = await say(speaker, others, roomId, `Number ${number}`);
      said.push(event.event_id);
    }
  }
  return said;
}

/** One server is away while those at home on the other talk; then everybody reads it. */
async function goesAway(name, away, present, roomId) {
  await ask(`stop ${name}`);
  const said = await sayMuch(present, roomId);
  step(`${said.length} messages were said while the ${name} server was away`);
  const other = name === "first" ? "second" : "first";
  await ask(`stop ${other}`);
  await ask(`start ${other}`);
  for (const client of present) client.retryImmediately();
  const late = name === "second" && (await logIn(first, present[0].getUserId()));
  if (late) {
    await isGivenDevices(late, away);
    step("a device that came meanwhile is given the keys of those who are away");
  }
  await ask(`start ${name}`);
  for (const client of away) client.retryImmediately();
  // It shows that it is there.
  const { event_id: morning } = await away[0].sendTextMessage(roomId, "Good morning");
  for (const client of present) await deciphered(client, roomId, morning);
  for (const client of away) await catchUp(client, roomId, [morning, ...said], said.at(-1));
  step("it is back, and its users have read all of them");
  return late ? [...present, late] : present;
}

async function story() {
  const aliceId = await register(first, "alice");
  const bobId = await register(second, "bob");
  let alices = [await logIn(first, aliceId), await logIn(first, aliceId)];
  const bobs = [await logIn(second, bobId), await logIn(second, bobId)];
  const roomId = await createRoom(alices[0], [bobId]);
  await join(alices[0], bobs[0], roomId);
  for (const client of [...alices, ...bobs]) {
    await untilEncrypted(client, roomId);
    await untilDevices(client, client.getUserId() === aliceId ? bobs : alices);
  }
  // Each has spoken to each: a device to which another one never has cannot be encrypted to while
  // its server, which has its one-time keys, is away.
  const all = [...alices, ...bobs];
  for (const speaker of all) {
    const others = all.filter((it) => it !== speaker);
    await say(speaker, others, roomId, `Hello from ${deviceOf(speaker)}`);
  }
  step("they read each other");

  alices = await goesAway("second", bobs, alices, roomId);
  // The device that came meanwhile is known, and reads what is said from then on.
  await untilEncrypted(alices[2], roomId);
  for (const client of bobs) {
    await untilDevices(client, alices);
    await say(client, [...bobs.filter((it) => it !== client), ...alices], roomId, "Hello again");
  }
  const [alice, tablet, late] = alices;
  await goesAway("first", alices, bobs, roomId);
  // The newest device came when the others' server was away, and knows them all the same.
  await say(late, [alice, tablet, ...bobs], roomId, "All there");
  for (const client of [alice, tablet, ...bobs]) {
    const events = await readAll(client, roomId);
    assert.ok(events >= 4 * SAID, `${events}`);
    step(`${deviceOf(client)} read all of ${events} encrypted events`);
  }
}

await tell(story, step);
