// What the stories with matrix-js-sdk's encryption share: devices that encrypt, rooms in which they
// do, and what each of them can read.

import { strict as assert } from "node:assert";
import { Filter } from "matrix-js-sdk";
import { RustBackupManager } from "matrix-js-sdk/lib/rust-crypto/backup.js";
import {
  PASSWORD,
  beginToSync,
  eventually,
  newDevice,
  until,
  untilMember,
} from "./sdk.mjs";

// Clients wait up to ten seconds before they back up keys, lest all of them do it at once.
RustBackupManager.maxBackupLoopStartDelayMillis = 100;

const MEGOLM = "m.megolm.v1.aes-sha2";
const SENDING = /[/]sendToDevice[/]m[.]room[.]encrypted[/]/;
/** What opens the secret storage of each user, who has it on paper. */
const recoveryKeys = new Map();
/** To which devices each client has encrypted, as `@user:server DEVICE`, one set a request. */
const addressees = new WeakMap();

/** Logs in on a new device that encrypts. */
export async function logIn(baseUrl, userId) {
  const told = [];
  const fetchFn = (resource, options) => {
    if (SENDING.test(resource)) {
      told.push(...devicesIn(JSON.parse(options.body).messages));
    }
    return fetch(resource, options);
  };
  const getSecretStorageKey = async ({ keys }) => [Object.keys(keys)[0], recoveryKeys.get(userId)];
  const options = { fetchFn, cryptoCallbacks: { getSecretStorageKey } };
  const client = await newDevice(baseUrl, userId, options);
  addressees.set(client, told);
  await client.initRustCrypto({ useIndexedDB: false });
  // Without gaps: the SDK forgets what was before one.
  const filter = new Filter(userId);
  filter.setTimelineLimit(100);
  filter.setLazyLoadMembers(true);
  await beginToSync(client, { filter, initialSyncLimit: 100 });
  return client;
}

function devicesIn(messages) {
  const users = Object.entries(messages);
  return users.flatMap(([user, devices]) => Object.keys(devices).map((it) => `${user} ${it}`));
}

export function deviceOf(client) {
  return `${client.getUserId()} ${client.getDeviceId()}`;
}

/** The devices that a client has encrypted to, from here on. */
export function watchAddressees(client) {
  const told = addressees.get(client);
  const before = told.length;
  return () => told.slice(before);
}

/** The user is asked for the password, where the server wants it. */
function passwordOf(userId) {
  return async (makeRequest) => {
    try {
      return await makeRequest(null);
    } catch (error) {
      if (error.httpStatus !== 401) throw error;
      const identifier = { type: "m.id.user", user: userId };
      const { session } = error.data;
      const auth = { type: "m.login.password", identifier, password: PASSWORD, session };
      return await makeRequest(auth);
    }
  };
}

/** The first device of a user makes keys that sign, keeps them in secret storage, and backs up. */
export async function setUpKeys(client) {
  const crypto = client.getCrypto();
  const userId = client.getUserId();
  await crypto.bootstrapCrossSigning({ authUploadDeviceSigningKeys: passwordOf(userId) });
  await crypto.bootstrapSecretStorage({
    createSecretStorageKey: async () => {
      const key = await crypto.createRecoveryKeyFromPassphrase();
      recoveryKeys.set(userId, key.privateKey);
      return key;
    },
    setupNewKeyBackup: true,
  });
  assert.ok(await crypto.isCrossSigningReady(), "keys that sign");
  assert.ok(await crypto.isSecretStorageReady(), "secret storage");
  assert.ok(await crypto.getActiveSessionBackupVersion(), "a backup");
}

/**
 * A user makes an encrypted room and invites others. Who joins sees nothing of before: else the SDK
 * would hand on the keys of what was said before as an uploaded file.
 */
export async function createRoom(creator, invite) {
  const state = (type, content) => ({ type, state_key: "", content });
  const encryption = state("m.room.encryption", { algorithm: MEGOLM });
  const history = state("m.room.history_visibility", { history_visibility: "joined" });
  const initial_state = [encryption, history];
  const room = await creator.createRoom({ preset: "private_chat", initial_state, invite });
  return room.room_id;
}

/** A guest who is invited joins, and the one who has invited sees it. */
export async function join(host, guest, roomId) {
  await untilMember(guest, roomId, guest.getUserId(), "invite");
  await guest.joinRoom(roomId);
  await untilMember(guest, roomId, guest.getUserId(), "join");
  await untilMember(host, roomId, guest.getUserId(), "join");
}

/** The IDs of a user's devices that a client knows. */
export async function knownDevices(client, userId) {
  const known = await client.getCrypto().getUserDeviceInfo([userId]);
  return [...(known.get(userId)?.keys() ?? [])].sort();
}

/** Waits until a client knows exactly these devices of their user. */
export async function untilDevices(client, devices) {
  const userId = devices[0].getUserId();
  const expected = devices.map((it) => it.getDeviceId()).sort();
  await eventually(`${expected} of ${userId}`, async () => {
    return String(await knownDevices(client, userId)) === String(expected);
  });
}

/** A client that does not know a user asks for their devices, and is given exactly these. */
export async function isGivenDevices(client, devices) {
  const userId = devices[0].getUserId();
  const expected = devices.map((it) => it.getDeviceId()).sort();
  const given = await client.getCrypto().getUserDeviceInfo([userId], true);
  assert.deepEqual([...(given.get(userId)?.keys() ?? [])].sort(), expected);
}

/** Waits until the room is encrypted for a client, which sends nothing in clear from then on. */
export async function untilEncrypted(client, roomId) {
  const isEncrypted = () => client.getCrypto().isEncryptionEnabledInRoom(roomId);
  await eventually("encryption", isEncrypted);
}

/** All that a client has of a room: with gaps, where it was away. */
export function eventsIn(client, roomId) {
  const timelines = client.getRoom(roomId)?.getUnfilteredTimelineSet().getTimelines() ?? [];
  return timelines.flatMap((it) => it.getEvents());
}

/** A client asks for all of a room that it was not told of. */
async function pageBack(client, roomId) {
  const room = client.getRoom(roomId);
  while (room.oldState.paginationToken !== null) await client.scrollback(room, 50);
}

/** A client that was away is told of the last event, and asks for what else it was not told of. */
export async function catchUp(client, roomId, eventIds, last) {
  await deciphered(client, roomId, last);
  await pageBack(client, roomId);
  for (const eventId of eventIds) await deciphered(client, roomId, eventId);
}

/** Waits until a client has decrypted an event with that ID, and hands it over. */
export function deciphered(client, roomId, eventId) {
  const find = () => {
    const event = eventsIn(client, roomId).find((it) => it.getId() === eventId);
    const isRead = event && !event.isBeingDecrypted() && !event.isDecryptionFailure();
    return isRead && event.getType() !== "m.room.encrypted" && event;
  };
  const events = ["Room.timeline", "Room.localEchoUpdated", "Event.decrypted"];
  return until(`the text of ${eventId} on ${deviceOf(client)}`, client, events, find);
}

/** One device says something, and all of them read it: the event as the server has it. */
export async function say(speaker, listeners, roomId, body) {
  const { event_id: eventId } = await speaker.sendTextMessage(roomId, body);
  for (const client of [speaker, ...listeners]) {
    const event = await deciphered(client, roomId, eventId);
    assert.equal(event.getContent().body, body);
    assert.equal(event.getWireType(), "m.room.encrypted");
    assert.equal(event.getWireContent().algorithm, MEGOLM);
  }
  const served = await listeners[0].fetchRoomEvent(roomId, eventId);
  assert.equal(served.type, "m.room.encrypted");
  assert.equal(served.content.body, undefined);
  return served;
}

/** Waits until the backup has all the keys that a client has. */
export async function untilBackedUp(client) {
  await eventually("the backup of all keys", async () => {
    const keys = await client.getCrypto().exportRoomKeys();
    // The client remembers what it was told when the backup was empty.
    const { count } = await client.http.authedRequest("GET", "/room_keys/version");
    return keys.length > 0 && count === keys.length;
  });
}

/** How many encrypted events of a room a client has read; there must be no other ones. */
export async function readAll(client, roomId) {
  await pageBack(client, roomId);
  const encrypted = () => eventsIn(client, roomId).filter((it) => it.isEncrypted());
  const isDone = () => !encrypted().some((it) => it.isBeingDecrypted());
  await eventually("all decrypted, or not", isDone);
  const unread = encrypted().filter((it) => it.isDecryptionFailure());
  const failures = unread.map((it) => `${it.getSender()}: ${it.decryptionFailureReason}`);
  assert.deepEqual(failures, [], `what ${deviceOf(client)} could not read`);
  return encrypted().length;
}
