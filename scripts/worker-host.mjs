// Runs the built Worker in workerd, through Miniflare, for tests and for a look by hand:
//
//   node scripts/worker-host.mjs --dir STATE [--port 8008] [--build worker/build-test] \
//       [--var NAME=VALUE]... [--count] [--isolates N] [--tls-cert PEM --tls-key PEM]
//
// It applies the migrations of the global store, prints `listening on http://127.0.0.1:PORT`
// (`https` with a certificate) and stays until SIGTERM or SIGINT, or until its standard input is
// closed: the process that started it holds the other end, so that a test runner that dies leaves
// no server behind.
//
// A line `evict CLASS NAME` on standard input, such as `evict RoomObject !room:example.org`, makes
// that object leave memory as if it had been idle for ten seconds: its memory is lost, its storage
// and its hibernating WebSockets stay. The answer is a line `evicted CLASS NAME`, or one that
// begins with `not evicted`: an object that is not in memory cannot be evicted.
//
// A line `sql STATEMENT` is carried out in the global store, as `wrangler d1 execute` does. The
// answer is a line that begins with `executed` or with `not executed`.
//
// With `--isolates N`, requests from outside are answered by as many isolates, as at the edge. The
// line above names the address of each; all of them have the same objects and the same store.
//
// With `--count`, what the platform would bill is counted (`tests/edge-cost`).

import { readFile, readdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Miniflare, convertV4MiniflareOptions } from "miniflare";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const WORKER = "skerry";

const { values: args } = parseArgs({
  options: {
    dir: { type: "string" },
    port: { type: "string", default: "0" },
    build: { type: "string", default: join(ROOT, "worker/build-test") },
    var: { type: "string", multiple: true, default: [] },
    count: { type: "boolean", default: false },
    isolates: { type: "string", default: "1" },
    "tls-cert": { type: "string" },
    "tls-key": { type: "string" },
  },
});
if (!args.dir) throw new Error("--dir is missing: where to keep the state");

/** The runtime's behaviour is versioned; what is tested must be what wrangler would deploy. */
async function compatibility() {
  const config = await readFile(join(ROOT, "wrangler.toml"), "utf8");
  const [, date] = config.match(/^compatibility_date\s*=\s*"([^"]+)"/m) ?? [];
  if (!date) throw new Error("wrangler.toml has no compatibility_date");
  const [, flags = ""] = config.match(/^compatibility_flags\s*=\s*\[([^\]]*)\]/m) ?? [];
  return {
    compatibilityDate: date,
    compatibilityFlags: [...flags.matchAll(/"([^"]+)"/g)].map(([, flag]) => flag),
  };
}

/** The rate limits of `wrangler.toml`, by their bindings. */
async function ratelimits() {
  const config = await readFile(join(ROOT, "wrangler.toml"), "utf8");
  const field = (text, pattern) => text.match(pattern)?.[1];
  const blocks = config.split(/^\[\[?/m).filter((block) => block.startsWith("ratelimits]]"));
  return Object.fromEntries(
    blocks.map((block) => [
      field(block, /^name\s*=\s*"([^"]+)"/m),
      {
        namespace_id: field(block, /^namespace_id\s*=\s*"([^"]+)"/m),
        simple: {
          limit: Number(field(block, /\blimit\s*=\s*(\d+)/)),
          period: Number(field(block, /\bperiod\s*=\s*(\d+)/)),
        },
      },
    ]),
  );
}

/** The binding of each kind of object and its class. */
const OBJECTS = { ROOM: "RoomObject", USER: "UserObject", DESTINATION: "DestinationObject" };

/** `entry.mjs` imports `./build/index.js`; the chosen build takes that place. */
async function modules(build) {
  const worker = join(ROOT, "worker");
  const file = async (type, path, source) => ({ type, path, contents: await readFile(source) });
  const counter = join(ROOT, "tests/edge-cost/count.mjs");
  const main = { type: "ESModule", path: join(ROOT, "counted.mjs"), contents: counted() };
  return Promise.all([
    ...(args.count ? [main, file("ESModule", counter, counter)] : []),
    file("ESModule", join(worker, "entry.mjs"), join(worker, "entry.mjs")),
    file("ESModule", join(worker, "build/index.js"), join(build, "index.js")),
    file("CompiledWasm", join(worker, "build/index_bg.wasm"), join(build, "index_bg.wasm")),
  ]);
}

/** A main module that exports what `entry.mjs` does, counted. */
function counted() {
  const objects = Object.values(OBJECTS).map(
    (name) => `export const ${name} = countedObject("${name}", entry.${name});`,
  );
  return [
    `import * as entry from "./worker/entry.mjs";`,
    `import { countedObject, countedWorker } from "./tests/edge-cost/count.mjs";`,
    `export default countedWorker(entry.default);`,
    ...objects,
  ].join("\n");
}

function bindings() {
  return Object.fromEntries(
    args.var.map((pair) => {
      const [name, ...value] = pair.split("=");
      if (value.length === 0) throw new Error(`--var ${pair}: expected NAME=VALUE`);
      return [name, value.join("=")];
    }),
  );
}

/** Does what `wrangler d1 migrations apply` does, in the same table, so that both agree. */
async function migrate(db) {
  const dir = join(ROOT, "migrations/global");
  const files = (await readdir(dir)).filter((name) => name.endsWith(".sql")).sort();
  await db
    .prepare(
      `CREATE TABLE IF NOT EXISTS d1_migrations (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         name TEXT UNIQUE,
         applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL
       )`,
    )
    .run();
  const { results } = await db.prepare("SELECT name FROM d1_migrations").all();
  const applied = new Set(results.map((row) => row.name));
  for (const name of files.filter((name) => !applied.has(name))) {
    const sql = await readFile(join(dir, name), "utf8");
    const record = `INSERT INTO d1_migrations (name) VALUES ('${name.replaceAll("'", "''")}');`;
    // A batch is one transaction: a file that fails half-way leaves nothing behind. One text for
    // both, because D1 refuses a text that ends in a comment.
    await db.batch([db.prepare(`${sql}\n${record}`)]);
  }
}

/** The Workers, one for each isolate. The first one has the objects. */
async function workers() {
  const common = {
    ...(await compatibility()),
    modulesRoot: ROOT,
    modules: await modules(resolve(args.build)),
    bindings: bindings(),
    d1Databases: { DB: "skerry" },
    r2Buckets: { MEDIA: "skerry-media" },
    ratelimits: await ratelimits(),
  };
  const objects = (options) =>
    Object.fromEntries(
      Object.entries(OBJECTS).map(([binding, className]) => [binding, { className, ...options }]),
    );
  const first = { name: WORKER, ...common, durableObjects: objects({ useSQLite: true }) };
  const further = Array.from({ length: Number(args.isolates) - 1 }, (_, index) => ({
    name: `${WORKER}-${index + 2}`,
    ...common,
    durableObjects: objects({ scriptName: WORKER, useSQLite: true }),
    unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
  }));
  return [first, ...further];
}

/** What makes it speak TLS, where it is to. */
async function tls() {
  if (!args["tls-cert"]) return {};
  const read = (name) => readFile(resolve(args[name]), "utf8");
  return { httpsCert: await read("tls-cert"), httpsKey: await read("tls-key") };
}

const all = await workers();
const miniflare = new Miniflare(
  convertV4MiniflareOptions({
    host: "127.0.0.1",
    port: Number(args.port),
    ...(await tls()),
    cf: false, // Otherwise it is downloaded.
    workers: all,
    resourcePersistencePath: resolve(args.dir),
  }),
);

let stopping = false;
async function stop() {
  if (stopping) return;
  stopping = true;
  await miniflare.dispose();
  process.exit();
}
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.removeAllListeners(signal); // Miniflare's own would exit at once, without `dispose`.
  process.on(signal, stop);
}

async function evict(className, name) {
  try {
    await miniflare.unsafeEvictDurableObject(WORKER, className, { name, webSockets: "hibernate" });
    console.log(`evicted ${className} ${name}`);
  } catch (error) {
    console.log(`not evicted ${className} ${name}: ${error.message}`);
  }
}

async function execute(statement) {
  try {
    const store = await miniflare.getD1Database("DB", WORKER);
    const { meta } = await store.prepare(statement).run();
    console.log(`executed: ${meta.changes} rows`);
  } catch (error) {
    console.log(`not executed: ${error.message}`);
  }
}

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const [, className, name] = line.match(/^evict (\S+) (.+)$/) ?? [];
    const [, statement] = line.match(/^sql (.+)$/) ?? [];
    if (className) evict(className, name);
    else if (statement) execute(statement);
    else console.log(`unknown command: ${line}`);
  })
  .on("close", stop);

const url = await miniflare.ready;
await migrate(await miniflare.getD1Database("DB", WORKER));
const further = all.slice(1).map(({ name }) => miniflare.unsafeGetDirectURL(name));
const urls = [url, ...(await Promise.all(further))];
console.log(`listening on ${urls.map(({ origin }) => origin).join(" ")}`);
