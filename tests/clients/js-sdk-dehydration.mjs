// Bob leaves a dehydrated device on the one server and logs out. Alice, on the other, which may be
// the same, goes on speaking to him. His next device reads all of it:
//
//   node tests/clients/js-sdk-dehydration.mjs http://localhost:8008 [http://localhost:8009]
//
// Every step is printed; the exit code is 0 only if all of them worked.

import { strict as assert } from "node:assert";
import {
  catchUp,
  createRoom,
  join,
  knownDevices,
  logIn,
  say,
  setUpKeys,
  untilDevices,
  untilEncrypted,
} from "./encryption.mjs";
import { eventually, register, tell } from "./sdk.mjs";

const [first, second = first] = process.argv.slice(2);
if (!first) {
  console.error("usage: node js-sdk-dehydration.mjs BASE_URL [BASE_URL]");
  process.exit(2);
}

/** Messages while Bob has no device, each with a key of its own: more than one page of keys. */
const SAID = 120;

const began = Date.now();
function step(text) {
  console.log(`js-sdk-dehydration: ${text} (after ${Date.now() - began} ms)`);
}

/** The dehydrated device of a client's user, as another client knows it beside those. */
async function untilDehydrated(client, devices, except) {
  const userId = devices[0].getUserId();
  const own = devices.map((it) => it.getDeviceId());
  return eventually(`a dehydrated device of ${userId}`, async () => {
    const known = await client.getCrypto().getUserDeviceInfo([userId]);
    const others = [...(known.get(userId)?.values() ?? [])].filter(
      (it) => !own.includes(it.deviceId),
    );
    const [found] = others;
    return others.length === 1 && found.dehydrated && found.deviceId !== except && found.deviceId;
  });
}

async function untilSigned(client, userId, deviceId) {
  await eventually(`the signature of ${deviceId}`, async () => {
    const status = await client.getCrypto().getDeviceVerificationStatus(userId, deviceId);
    return status?.signedByOwner;
  });
}

async function story() {
  const alice = await logIn(second, await register(second, "alice"));
  const bob = await logIn(first, await register(first, "bob"));
  const bobId = bob.getUserId();
  await Promise.all([setUpKeys(alice), setUpKeys(bob)]);
  const roomId = await createRoom(alice, [bobId]);
  await join(alice, bob, roomId);
  for (const client of [alice, bob]) await untilEncrypted(client, roomId);
  await untilDevices(alice, [bob]);
  assert.ok(await bob.getCrypto().isDehydrationSupported());
  await bob.getCrypto().startDehydration();
  const left = await untilDehydrated(alice, [bob]);
  await untilSigned(alice, bobId, left);
  step("bob has left a dehydrated device, which his keys have signed");
  await say(alice, [bob], roomId, "You are still here");
  await bob.logout(true);
  await eventually("bob gone", async () => {
    return String(await knownDevices(alice, bobId)) === left;
  });
  step("bob has logged out, and has that device alone");

  const said = [];
  for (let number = 0; number < SAID; number += 1) {
    await alice.getCrypto().forceDiscardSession(roomId);
    const { event_id: eventId } = await alice.sendTextMessage(roomId, `Number ${number}`);
    said.push(eventId);
  }
  step(`alice has said ${SAID} things, each with another key`);
  const anew = await logIn(first, bobId);
  // Its own user's keys are known before secret storage gives what goes with them.
  assert.ok(await anew.getCrypto().userHasCrossSigningKeys(bobId, true));
  await anew.getCrypto().bootstrapCrossSigning({});
  await anew.getCrypto().startDehydration();
  await catchUp(anew, roomId, said, said.at(-1));
  step("bob's next device has read all of it");
  const next = await untilDehydrated(alice, [anew], left);
  await untilSigned(alice, bobId, next);
  await say(alice, [anew], roomId, "There you are");
  await say(anew, [alice], roomId, "I have read everything");
  step("it has left another dehydrated device in place of that");
}

await tell(story, step);
