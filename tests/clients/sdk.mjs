// What the stories with matrix-js-sdk share: accounts, devices, and waiting. Nothing sleeps: each
// step waits for what the server must tell.

import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import * as sdk from "matrix-js-sdk";
import { logger } from "matrix-js-sdk/lib/logger.js";

const PATIENCE_MS = 30_000;
/** Between two looks at what no event tells of. */
const LOOK_MS = 20;
export const PASSWORD = "correct horse battery staple 42!";

// The SDK tells much that is no failure; SKERRY_SDK_LOG=1 shows it.
if (!process.env.SKERRY_SDK_LOG) {
  logger.methodFactory = () => () => {};
  logger.rebuild();
}
const run = randomUUID().slice(0, 8);
/** All clients that have logged in, in their order. */
export const started = [];

/** Resolves once `check` holds; it is asked again whenever the emitter tells one of the events. */
export function until(what, emitter, events, check) {
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

/** Resolves to what the emitter tells next by that event. */
export function next(emitter, event) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`never heard of ${event}`)), PATIENCE_MS);
    emitter.once(event, (told) => {
      clearTimeout(timer);
      resolve(told);
    });
  });
}

/** Resolves once `check`, which may have to ask first, holds. */
export async function eventually(what, check) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await check();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`never saw ${what}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

export async function register(baseUrl, name) {
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

/** Logs in on a new device, without beginning to sync. */
export async function newDevice(baseUrl, userId, options = {}) {
  const login = await sdk.createClient({ baseUrl }).loginRequest({
    type: "m.login.password",
    identifier: { type: "m.id.user", user: userId },
    password: PASSWORD,
    initial_device_display_name: "matrix-js-sdk",
  });
  const { access_token: accessToken, device_id: deviceId } = login;
  if (process.env.SKERRY_TELL_SECRETS) console.log(`secret: ${accessToken}`);
  const client = sdk.createClient({ baseUrl, userId, accessToken, deviceId, ...options });
  started.push(client);
  return client;
}

/**
 * Syncs until the first answer is there. Later ones have as much of a room as the server likes,
 * unless there is a filter that says it of all.
 */
export async function beginToSync(client, options) {
  await client.startClient({ ...options, lazyLoadMembers: true });
  await until("the first sync", client, ["sync"], () => client.getSyncState() === "SYNCING");
}

export function timeline(client, roomId) {
  return client.getRoom(roomId)?.getLiveTimeline().getEvents() ?? [];
}

/** Waits until sync brings an event with that ID, and hands it over. */
export function received(client, roomId, eventId) {
  const find = () => timeline(client, roomId).find((event) => event.getId() === eventId);
  return until(`event ${eventId}`, client, ["Room.timeline", "Room.localEchoUpdated"], find);
}

/** Waits until a client sees somebody's membership so. */
export function untilMember(client, roomId, userId, membership) {
  const events = ["Room", "Room.myMembership", "RoomMember.membership", "RoomState.events"];
  return until(`${userId}: ${membership}`, client, events, () => {
    const room = client.getRoom(roomId);
    const isOwn = userId === client.getUserId();
    const found = isOwn ? room?.getMyMembership() : room?.getMember(userId)?.membership;
    return found === membership;
  });
}

/** Runs a story to its end, and ends the process: its exit code is 0 only if all of it worked. */
export async function tell(story, step) {
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
}
