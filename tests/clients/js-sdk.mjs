// Two people talk with each other through matrix-js-sdk, from registration to logout:
//
//   node tests/clients/js-sdk.mjs http://localhost:8008
//
// Every step is printed; the exit code is 0 only if all of them worked. Nothing sleeps: each step
// waits for what the server must tell by /sync.

import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import * as sdk from "matrix-js-sdk";
import { logger } from "matrix-js-sdk/lib/logger.js";

const PATIENCE_MS = 30_000;
const PASSWORD = "correct horse battery staple 42!";
const HISTORY = 25;

const baseUrl = process.argv[2];
if (!baseUrl) {
  console.error("usage: node js-sdk.mjs BASE_URL");
  process.exit(2);
}
logger.setLevel?.("error");
const run = randomUUID().slice(0, 8);
const started = [];

function step(text) {
  console.log(`js-sdk: ${text}`);
}

/** Resolves once `check` holds; it is asked again whenever the emitter tells one of the events. */
function until(what, emitter, events, check) {
  return new Promise((resolve, reject) => {
    const ask = () => {
      const found = check();
      if (!found) return;
      clearTimeout(timer);
      for (const event of events) emitter.off(event, ask);
      resolve(found);
    };
    const timer = setTimeout(() => reject(new Error(`never saw ${what}`)), PATIENCE_MS);
    for (const event of events) emitter.on(event, ask);
    ask();
  });
}

async function register(name) {
  const anonymous = sdk.createClient({ baseUrl });
  const account = { username: `${name}-${run}`, password: PASSWORD };
  const session = await anonymous.registerRequest(account).then(
    () => assert.fail("registration asked for no authentication"),
    (error) => {
      assert.equal(error.httpStatus, 401, String(error));
      return error.data.session;
    },
  );
  const auth = { type: "m.login.dummy", session };
  const registered = await anonymous.registerRequest({ ...account, auth, inhibit_login: true });
  assert.equal(registered.access_token, undefined);
  return registered.user_id;
}

/** Logs in on a new device and syncs until the first answer is there. */
async function logIn(userId, initialSyncLimit) {
  const login = await sdk.createClient({ baseUrl }).loginRequest({
    type: "m.login.password",
    identifier: { type: "m.id.user", user: userId },
    password: PASSWORD,
    initial_device_display_name: "matrix-js-sdk",
  });
  const { access_token: accessToken, device_id: deviceId } = login;
  if (process.env.SKERRY_TELL_TOKENS) console.log(`token: ${accessToken}`);
  const client = sdk.createClient({ baseUrl, userId, accessToken, deviceId });
  started.push(client);
  await client.startClient({ initialSyncLimit, lazyLoadMembers: true });
  await until("the first sync", client, ["sync"], () => client.getSyncState() === "SYNCING");
  return client;
}

function timeline(client, roomId) {
  return client.getRoom(roomId)?.getLiveTimeline().getEvents() ?? [];
}

/** Waits until sync brings an event with that ID, and hands it over. */
function received(client, roomId, eventId) {
  const find = () => timeline(client, roomId).find((event) => event.getId() === eventId);
  return until(`event ${eventId}`, client, ["Room.timeline", "Room.localEchoUpdated"], find);
}

async function meet(alice, bob) {
  const { room_id: roomId } = await alice.createRoom({
    preset: "private_chat",
    name: "The lighthouse",
    topic: "Waves and weather",
    invite: [bob.getUserId()],
  });
  step(`alice created ${roomId} and invited bob`);
  const membership = (client) => client.getRoom(roomId)?.getMyMembership();
  const events = ["Room", "Room.myMembership"];
  await until("the invite", bob, events, () => membership(bob) === "invite");
  const invited = bob.getRoom(roomId);
  await until("the invite's name", bob, ["Room.name"], () => invited.name === "The lighthouse");
  await bob.joinRoom(roomId);
  await until("the join", bob, events, () => membership(bob) === "join");
  await until("bob's arrival", alice, ["RoomMember.membership", "RoomState.events"], () => {
    return alice.getRoom(roomId)?.getMember(bob.getUserId())?.membership === "join";
  });
  step("bob was told of the invite and joined");
  return roomId;
}

async function talk(alice, bob, roomId) {
  const { event_id: hello } = await alice.sendTextMessage(roomId, "Hello bob");
  assert.equal((await received(bob, roomId, hello)).getContent().body, "Hello bob");
  const { event_id: answer } = await bob.sendTextMessage(roomId, "Hello alice");
  assert.equal((await received(alice, roomId, answer)).getSender(), bob.getUserId());
  step("both sent and received a message");

  const edit = {
    msgtype: "m.text",
    body: "* Hello dear bob",
    "m.new_content": { msgtype: "m.text", body: "Hello dear bob" },
    "m.relates_to": { rel_type: "m.replace", event_id: hello },
  };
  await alice.sendEvent(roomId, "m.room.message", edit);
  const edited = await received(bob, roomId, hello);
  const text = () => edited.getContent().body === "Hello dear bob";
  await until("the edit", bob, ["Event.replaced", "Room.timeline"], text);
  step("alice edited, bob sees the new text");

  const annotation = { rel_type: "m.annotation", event_id: hello, key: "🌊" };
  const reaction = { "m.relates_to": annotation };
  const { event_id: wave } = await bob.sendEvent(roomId, "m.reaction", reaction);
  const seen = (await received(alice, roomId, wave)).getContent();
  assert.deepEqual(seen["m.relates_to"], annotation);
  step("bob reacted, alice sees it");

  const { event_id: oops } = await bob.sendTextMessage(roomId, "A slip of the tongue");
  const slip = await received(alice, roomId, oops);
  await bob.redactEvent(roomId, oops, undefined, { reason: "typed too fast" });
  const events = ["Room.redaction", "Room.timeline"];
  await until("the redaction", alice, events, () => slip.isRedacted());
  assert.deepEqual(slip.getContent(), {});
  const served = await alice.fetchRoomEvent(roomId, oops);
  assert.deepEqual(served.content, {});
  step("bob redacted, alice sees an empty event");
}

async function signal(alice, bob, roomId) {
  await bob.sendTyping(roomId, true, 20_000);
  const member = () => alice.getRoom(roomId).getMember(bob.getUserId());
  await until("typing", alice, ["RoomMember.typing"], () => member()?.typing);
  await bob.sendTyping(roomId, false, 0);
  await until("the end of typing", alice, ["RoomMember.typing"], () => !member().typing);
  const last = timeline(bob, roomId).at(-1);
  await bob.sendReadReceipt(last);
  const read = () => {
    const upTo = alice.getRoom(roomId).getEventReadUpTo(bob.getUserId(), true);
    return upTo === last.getId();
  };
  await until("bob's receipt", alice, ["Room.receipt"], read);
  step("typing and a read receipt arrived");
}

async function pageBack(alice, bob, roomId) {
  const sent = [];
  for (let number = 0; number < HISTORY; number++) {
    const { event_id: id } = await alice.sendTextMessage(roomId, `Wave ${number}`);
    sent.push(id);
  }
  await received(bob, roomId, sent.at(-1));
  const fresh = await logIn(bob.getUserId(), 3);
  const room = fresh.getRoom(roomId);
  assert.ok(timeline(fresh, roomId).length < HISTORY, "the first sync is short");
  while (room.oldState.paginationToken !== null) {
    await fresh.scrollback(room, 10);
  }
  const events = timeline(fresh, roomId);
  const found = events.map((event) => event.getId()).filter((id) => sent.includes(id));
  assert.deepEqual(found, sent, "every message once, in order");
  assert.equal(events[0].getType(), "m.room.create");
  assert.equal(new Set(events.map((event) => event.getId())).size, events.length);
  step(`a new device paged back through ${events.length} events`);
}

async function leave(clients) {
  for (const client of clients) {
    const token = client.getAccessToken();
    await client.logout(true);
    const gone = sdk.createClient({ baseUrl, accessToken: token });
    await assert.rejects(gone.whoami(), { errcode: "M_UNKNOWN_TOKEN" });
  }
  step("all devices are logged out");
}

async function story() {
  const aliceId = await register("alice");
  const bobId = await register("bob");
  step(`registered ${aliceId} and ${bobId}`);
  const alice = await logIn(aliceId, 20);
  const bob = await logIn(bobId, 20);
  step("both logged in and synced");
  const roomId = await meet(alice, bob);
  await talk(alice, bob, roomId);
  await signal(alice, bob, roomId);
  await pageBack(alice, bob, roomId);
  await leave(started);
}

try {
  await story();
  step("all done");
} catch (error) {
  console.error(error);
  process.exitCode = 1;
} finally {
  for (const client of started) client.stopClient();
}
// The SDK leaves timers behind that would keep the process alive.
process.exit();
