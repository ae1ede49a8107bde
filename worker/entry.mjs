// The Worker's main module: the Wasm classes, made safe against a panic.
//
// A panic in Wasm is a trap: the instance is dead, and no promise that it still owes is ever
// settled. The `index.js` that worker-build writes starts a new instance at the next call, but
// every call that was pending, of every object in this isolate, would hang for ever. So this module
// stands between the platform and the Wasm classes: it remembers what is pending, fails all of it
// when the instance dies, and makes new Wasm objects on the new instance.
//
// The platform's own objects, and with them storage and hibernating WebSockets, live on. The memory
// of a Wasm object is lost, as it is when the object hibernates: it must rebuild itself from its
// storage. What it wrote before the panic stays written, unless it was inside `transactionSync`.

import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
import WasmWorker, * as wasm from "./build/index.js";

class InstanceDied extends Error {}

/** Grows by one whenever an instance dies: a Wasm object of an older one must not be called. */
let generation = 0;

/** The `reject` of every call that the living instance still owes an answer. */
const pending = new Set();

function instanceDied(cause) {
  generation += 1;
  // Makes index.js start the next call on a new instance. After some errors wasm-bindgen has made
  // one by itself, but ran a late callback of the dead instance in it: it may be corrupt.
  globalThis.__worker_init_state.criticalError = true;
  for (const reject of pending) reject(new InstanceDied("the Wasm instance died", { cause }));
  pending.clear();
}

// Rust's futures run in microtasks, so a trap surfaces here and not in the call that caused it. So
// does any other exception that Rust did not catch, such as the RangeError of a deep recursion:
// wasm-bindgen gives up the instance after those too.
addEventListener("error", ({ error }) => {
  // A late callback into an instance that was replaced is refused by wasm-bindgen: no harm done.
  if (/from previous wasm instance/i.test(error?.message)) return;
  instanceDied(error);
});

/** Runs a Wasm method that returns a promise; the result is settled even if the instance dies. */
function call(method) {
  const { promise, resolve, reject } = Promise.withResolvers();
  pending.add(reject);
  try {
    method().then(resolve, reject);
  } catch (error) {
    // A Rust `Err` is a rejected promise. What is thrown at once comes from a broken instance.
    instanceDied(error);
  }
  return promise.finally(() => pending.delete(reject));
}

/** Answers what Rust can no longer answer; any other error goes its usual way. */
function answer(error) {
  if (!(error instanceof InstanceDied)) throw error;
  return Response.json(
    { errcode: "M_UNKNOWN", error: "Internal server error" },
    // Without the first header a browser would hide the error from a web client.
    {
      status: 500,
      headers: {
        "Access-Control-Allow-Origin": "*",
        "Cache-Control": "no-store",
        "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
      },
    },
  );
}

export default class extends WorkerEntrypoint {
  fetch(request) {
    return call(() => new WasmWorker(this.ctx, this.env).fetch(request)).catch(answer);
  }
}

/** A Durable Object class that delegates every event to `WasmClass`. */
function guarded(WasmClass) {
  return class extends DurableObject {
    #object;
    #generation;

    /** Made at the first event, and again after a death, so that a panic in `new` is caught too. */
    #delegate(method, ...values) {
      return call(() => {
        if (this.#generation !== generation) {
          this.#object = new WasmClass(this.ctx, this.env);
          this.#generation = generation;
        }
        return this.#object[method](...values);
      });
    }

    fetch(request) {
      return this.#delegate("fetch", request).catch(answer);
    }

    // The events below have nobody to answer: they fail, and the platform repeats an alarm.

    alarm() {
      return this.#delegate("alarm");
    }

    webSocketMessage(socket, message) {
      return this.#delegate("webSocketMessage", socket, message);
    }

    webSocketClose(socket, code, reason, wasClean) {
      return this.#delegate("webSocketClose", socket, code, reason, wasClean);
    }

    webSocketError(socket, error) {
      return this.#delegate("webSocketError", socket, error);
    }
  };
}

export const RoomObject = guarded(wasm.RoomObject);
export const UserObject = guarded(wasm.UserObject);
export const DestinationObject = guarded(wasm.DestinationObject);
