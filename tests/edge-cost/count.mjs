// Counts what the platform bills, at the platform's own interfaces: the classes that the Worker
// exports are wrapped, and the methods by which it reaches storage, D1 and sockets are replaced by
// ones that count and then do the same. So the Worker that is measured is the one that is deployed,
// whatever its insides are, and nothing that goes past its adapters goes uncounted.
//
// workerd runs the Worker and all its objects in one isolate, so that one set of counters has them
// all; it outlives objects that leave memory and Wasm instances that die.
//
//   GET  /_skerry/test/costs             what was counted since the last reset
//   POST /_skerry/test/costs             the same, and counts from zero on
//   POST /_skerry/test/costs?explain=1   and counts the commands to objects by name as well

const PATH = "/_skerry/test/costs";

/** The names in which the report and the tool that reads it agree. */
const zero = () => ({
  worker_requests: 0,
  /** Calls to objects, the opening of WebSockets among them. */
  object_requests: 0,
  alarms: 0,
  /** Messages to objects. */
  websocket_messages: 0,
  /** Ends of WebSockets that objects hear of. They wake an object and are not billed. */
  websocket_ends: 0,
  /** Messages from objects, and those from the Worker to them. */
  websocket_sent: 0,
  d1_queries: 0,
  d1_rows_read: 0,
  d1_rows_written: 0,
  object_rows_read: 0,
  /** Index entries count, and so does setting an alarm. */
  object_rows_written: 0,
  alarms_set: 0,
});

let counts = zero();
let commands = {};
let explains = false;

/** When the alarm of each object is due, by the object's name or ID, in ms since 1970. */
const due = new Map();
/** The object whose storage it is. */
const owners = new WeakMap();

/** Replaces a method of whatever class the value has, once. */
function replace(value, name, make) {
  const holder = holderOf(value, name);
  const original = holder[name];
  if (original.isCounted) return;
  const counted = make(original);
  counted.isCounted = true;
  holder[name] = counted;
  if (value[name] !== counted) throw new Error(`${name} cannot be replaced to be counted`);
}

function holderOf(value, name) {
  for (let it = Object.getPrototypeOf(value); it; it = Object.getPrototypeOf(it)) {
    if (Object.hasOwn(it, name)) return it;
  }
  throw new Error(`there is no method ${name} to be counted`);
}

function countSql(sql) {
  replace(sql, "exec", (exec) =>
    function (...values) {
      const cursor = exec.apply(this, values);
      // The rows are read right after this call, so its numbers are final when that code ends.
      queueMicrotask(() => {
        counts.object_rows_read += cursor.rowsRead;
        counts.object_rows_written += cursor.rowsWritten;
      });
      return cursor;
    },
  );
}

function countAlarms(storage) {
  replace(storage, "setAlarm", (setAlarm) =>
    function (at, ...options) {
      counts.alarms_set += 1;
      counts.object_rows_written += 1;
      due.set(owners.get(this), Number(at));
      return setAlarm.call(this, at, ...options);
    },
  );
  for (const name of ["deleteAlarm", "deleteAll"]) {
    replace(storage, name, (remove) =>
      function (...options) {
        due.delete(owners.get(this));
        return remove.apply(this, options);
      },
    );
  }
}

/** Every query goes through one of these two; which one, the compatibility date decides. */
function countD1(database) {
  const count = (send) =>
    async function (...values) {
      const answer = await send.apply(this, values);
      for (const { meta } of [answer].flat()) {
        counts.d1_queries += 1;
        counts.d1_rows_read += meta?.rows_read ?? 0;
        counts.d1_rows_written += meta?.rows_written ?? 0;
      }
      return answer;
    };
  for (const name of ["_send", "_queryOrThrow"]) replace(database.withSession(), name, count);
}

function countSent() {
  replace(Object.create(WebSocket.prototype), "send", (send) =>
    function (message) {
      counts.websocket_sent += 1;
      return send.call(this, message);
    },
  );
}

function report(request) {
  const now = Date.now();
  const alarms_due_in_ms = [...due.values()].map((at) => Math.max(0, at - now));
  const answer = { ...counts, commands, alarms_due_in_ms };
  if (request.method === "POST") {
    counts = zero();
    commands = {};
    explains = new URL(request.url).searchParams.has("explain");
  }
  return Response.json(answer);
}

/** The first word of a command is its name; the opening of a WebSocket has none, but a path. */
async function note(name, request) {
  const body = await request.text();
  const command = body.match(/\w+/)?.[0] ?? new URL(request.url).pathname;
  const key = `${name} ${command}`;
  commands[key] = (commands[key] ?? 0) + 1;
}

/** The class that answers requests from outside. */
export function countedWorker(Worker) {
  return class extends Worker {
    constructor(ctx, env) {
      super(ctx, env);
      for (const binding of Object.values(env)) {
        if (typeof binding?.withSession === "function") countD1(binding);
      }
    }

    fetch(request) {
      if (new URL(request.url).pathname === PATH) return report(request);
      counts.worker_requests += 1;
      return super.fetch(request);
    }
  };
}

/** The class of a kind of object. */
export function countedObject(name, Kind) {
  return class extends Kind {
    #key;

    constructor(ctx, env) {
      super(ctx, env);
      this.#key = `${name} ${ctx.id}`;
      owners.set(ctx.storage, this.#key);
      countSql(ctx.storage.sql);
      countAlarms(ctx.storage);
      countSent();
    }

    fetch(request) {
      counts.object_requests += 1;
      if (explains) note(name, request.clone());
      return super.fetch(request);
    }

    alarm(info) {
      counts.alarms += 1;
      due.delete(this.#key);
      return super.alarm(info);
    }

    webSocketMessage(...values) {
      counts.websocket_messages += 1;
      return super.webSocketMessage(...values);
    }

    webSocketClose(...values) {
      counts.websocket_ends += 1;
      return super.webSocketClose(...values);
    }

    webSocketError(...values) {
      counts.websocket_ends += 1;
      return super.webSocketError(...values);
    }
  };
}
