// Two people talk with each other through matrix-js-sdk, from registration to logout:
//
//   node tests/clients/js-sdk.mjs http://localhost:8008
//
// Every step is printed; the exit code is 0 only if all of them worked. Nothing sleeps: each step
// waits for what the server must tell by /sync.

import { strict as assert } from "node:assert";
import * as sdk from "matrix-js-sdk";
import {
  beginToSync,
  newDevice,
  received,
  register,
  started,
  tell,
  timeline,
  until,
  untilMember,
} from "./sdk.mjs";

const HISTORY = 25;

const baseUrl = process.argv[2];
if (!baseUrl) {
  console.error("usage: node js-sdk.mjs BASE_URL");
  process.exit(2);
}

function step(text) {
  console.log(`js-sdk: ${text}`);
}

async function logIn(userId, initialSyncLimit) {
  const client = await newDevice(baseUrl, userId);
  await beginToSync(client, { initialSyncLimit });
  return client;
}

async function meet(alice, bob) {
  const { room_id: roomId } = await alice.createRoom({
    preset: "private_chat",
    name: "The lighthouse",
    topic: "Waves and weather",
    invite: [bob.getUserId()],
  });
  step(`alice created ${roomId} and invited bob`);
  await untilMember(bob, roomId, bob.getUserId(), "invite");
  const invited = bob.getRoom(roomId);
  await until("the invite's name", bob, ["Room.name"], () => invited.name === "The lighthouse");
  await bob.joinRoom(roomId);
  await untilMember(bob, roomId, bob.getUserId(), "join");
  await untilMember(alice, roomId, bob.getUserId(), "join");
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
  const aliceId = await register(baseUrl, "alice");
  const bobId = await register(baseUrl, "bob");
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

await tell(story, step);
