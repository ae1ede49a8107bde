// Two people with several devices each talk in encrypted rooms through matrix-js-sdk and its Rust
// crypto, alice on the one server and bob on the other, which may be the same:
//
//   node tests/clients/js-sdk-crypto.mjs http://localhost:8008 [http://localhost:8009]
//
// Every step is printed; the exit code is 0 only if all of them worked.

import { strict as assert } from "node:assert";
import { CryptoEvent, VerificationPhase } from "matrix-js-sdk/lib/crypto-api/index.js";
import {
  createRoom,
  deviceOf,
  join,
  logIn,
  readAll,
  say,
  setUpKeys,
  untilBackedUp,
  untilDevices,
  untilEncrypted,
  watchAddressees,
} from "./encryption.mjs";
import { eventually, next, register, tell, timeline, until, untilMember } from "./sdk.mjs";

const [first, second = first] = process.argv.slice(2);
if (!first) {
  console.error("usage: node js-sdk-crypto.mjs BASE_URL [BASE_URL]");
  process.exit(2);
}

/** How often somebody says something to alice and bob. */
const SAID = 10;

const began = Date.now();
function step(text) {
  console.log(`js-sdk-crypto: ${text} (after ${Date.now() - began} ms)`);
}

function untilPhase(request, phase) {
  return until(`phase ${phase}`, request, ["change"], () => request.phase === phase);
}

/** One side has asked and the other one was asked: both compare the emojis, and agree. */
async function compareEmojis(asking, asked) {
  await asked.accept();
  await untilPhase(asking, VerificationPhase.Ready);
  const own = await asking.startVerification("m.sas.v1");
  await until("the start", asked, ["change"], () => asked.verifier);
  const other = asked.verifier;
  const shown = [own, other].map((it) => next(it, "show_sas"));
  const done = [own, other].map((it) => it.verify());
  const [left, right] = await Promise.race([Promise.all(shown), Promise.all(done)]);
  assert.deepEqual(left.sas.emoji, right.sas.emoji);
  assert.equal(left.sas.emoji.length, 7);
  await Promise.all([left.confirm(), right.confirm()]);
  await Promise.all(done);
  await Promise.all([asking, asked].map((it) => untilPhase(it, VerificationPhase.Done)));
}

/** A new device proves to an older one that they are of one user, and is given the secrets. */
async function verifyOwn(older, newer) {
  const received = next(older, CryptoEvent.VerificationRequestReceived);
  const asking = await newer.getCrypto().requestOwnUserVerification();
  await compareEmojis(asking, await received);
  await eventually("the secrets", async () => {
    const status = await newer.getCrypto().getCrossSigningStatus();
    return Object.values(status.privateKeysCachedLocally).every((it) => it);
  });
  await eventually("the backup's key", () => newer.getCrypto().getSessionBackupPrivateKey());
}

/** Waits until a client sees a device signed by its owner. */
async function untilSigned(client, device) {
  const [user, id] = [device.getUserId(), device.getDeviceId()];
  await eventually(`the signature of ${id}`, async () => {
    const status = await client.getCrypto().getDeviceVerificationStatus(user, id);
    return status?.signedByOwner;
  });
}

/** In the room that they share, over whatever lies between their servers. */
async function verifyEachOther(one, other, roomId) {
  const received = next(other, CryptoEvent.VerificationRequestReceived);
  const asking = await one.getCrypto().requestVerificationDM(other.getUserId(), roomId);
  await compareEmojis(asking, await received);
}

async function untilVerified(client, userId) {
  await eventually(`${userId} verified`, async () => {
    const status = await client.getCrypto().getUserVerificationStatus(userId);
    return status.isCrossSigningVerified();
  });
}

/** What was said before a device came it reads by the backup, what is said later by itself. */
async function comeLate(alice, bob, others, roomId) {
  const late = await logIn(second, bob.getUserId());
  await untilDevices(alice, [bob, others.at(-1), late]);
  await untilEncrypted(late, roomId);
  const event = await say(alice, [bob, ...others, late], roomId, "Welcome to the late one");
  step("a new device reads what is said from then on");
  const crypto = late.getCrypto();
  const failed = () => timeline(late, roomId).filter((it) => it.isDecryptionFailure());
  await eventually("what was said before", () => failed().length > 0);
  await untilBackedUp(bob);
  await crypto.bootstrapCrossSigning({});
  await crypto.loadSessionBackupPrivateKeyFromSecretStorage();
  await crypto.checkKeyBackupAndEnable();
  const { imported, total } = await crypto.restoreKeyBackup();
  assert.ok(total > 0 && imported === total, `${imported} of ${total} keys`);
  await eventually("the past", () => failed().length === 0);
  await untilSigned(alice, late);
  step(`it restored ${imported} keys from the backup, and reads the past`);
  return [late, event];
}

/** A device that is logged out is not encrypted to, with a key that it has not had. */
async function logOut(alice, gone, bobs, others, roomId, before) {
  const device = deviceOf(gone);
  await gone.logout(true);
  await untilDevices(alice, bobs);
  const told = watchAddressees(alice);
  const event = await say(alice, [...others, ...bobs], roomId, "Without that device");
  assert.notEqual(event.content.session_id, before.content.session_id, "another key");
  const devices = told();
  assert.ok(!devices.includes(device), `${device} in ${devices}`);
  for (const it of [...others, ...bobs]) assert.ok(devices.includes(deviceOf(it)), `${devices}`);
  await say(bobs[0], [alice, ...others], roomId, "I am still here");
  step("a device that is logged out is not encrypted to, and the others read");
}

/** Who leaves has had a key, and gets no other one. */
async function leave(alice, all, roomId) {
  const carol = await logIn(second, await register(second, "carol"));
  await alice.invite(roomId, carol.getUserId());
  await join(alice, carol, roomId);
  await untilEncrypted(carol, roomId);
  const others = all.filter((it) => it !== alice);
  const before = await say(alice, [...others, carol], roomId, "Hello carol");
  await say(carol, all, roomId, "Hello everybody");
  await carol.leave(roomId);
  for (const client of all) await untilMember(client, roomId, carol.getUserId(), "leave");
  const told = watchAddressees(alice);
  const after = await say(alice, others, roomId, "She has left");
  assert.notEqual(after.content.session_id, before.content.session_id, "another key");
  assert.ok(told().length > 0 && !told().includes(deviceOf(carol)), `${told()}`);
  assert.equal(await readAll(carol, roomId), 2);
  step("after a member has left there is another key, which she is not given");
}

async function story() {
  const alice = await logIn(first, await register(first, "alice"));
  const bob = await logIn(second, await register(second, "bob"));
  await Promise.all([setUpKeys(alice), setUpKeys(bob)]);
  const tablet = await logIn(first, alice.getUserId());
  const phone = await logIn(second, bob.getUserId());
  step("alice and bob have two devices each, with keys that sign, secret storage and a backup");
  await verifyOwn(alice, tablet);
  step("alice's second device was verified by the first");

  const roomId = await createRoom(alice, [bob.getUserId()]);
  await join(alice, bob, roomId);
  const all = [alice, tablet, bob, phone];
  for (const client of all) await untilEncrypted(client, roomId);
  await untilDevices(alice, [bob, phone]);
  await untilDevices(bob, [alice, tablet]);
  for (const speaker of all) {
    const others = all.filter((it) => it !== speaker);
    await say(speaker, others, roomId, `Hello from ${deviceOf(speaker)}`);
  }
  step("each device reads what each says");
  for (const client of [bob, phone]) {
    assert.ok(await client.getCrypto().userHasCrossSigningKeys(alice.getUserId()));
    await untilSigned(client, tablet);
  }
  step("bob's devices see what alice's keys have signed");
  await verifyEachOther(alice, bob, roomId);
  for (const client of [alice, tablet]) await untilVerified(client, bob.getUserId());
  await untilVerified(bob, alice.getUserId());
  step("alice and bob verified each other, and alice's other device knows");

  const [late, event] = await comeLate(alice, bob, [tablet, phone], roomId);
  await logOut(alice, phone, [bob, late], [tablet], roomId, event);
  const left = [alice, tablet, bob, late];
  await leave(alice, left, roomId);
  for (const client of left) {
    const events = await readAll(client, roomId);
    step(`${deviceOf(client)} read all of ${events} encrypted events`);
    assert.ok(events >= SAID, `${events}`);
  }
}

await tell(story, step);
