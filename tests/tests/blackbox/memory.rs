//! What a native server needed once it gives back to the system.

use std::time::Duration;

use skerry_tests::{Host, Options, Server, User, json, path};
use tokio::{task::JoinSet, time::sleep};

private_server! {
    native: Native => [what_large_answers_took_is_given_back],
}

/// Pieces of account data, with the size of each: what a user may store, about.
const PIECES: usize = 15;
const PIECE_BYTES: usize = 250_000;
/// Who reads all of it at the same time, and how often.
const READERS: usize = 6;
const TIMES: usize = 10;
/// What may be more afterwards than before anybody came: what is still remembered, and less than a
/// password's hash needs.
const KEPT_MIB: u32 = 16;

/// A field of a process's status: its first number.
fn field(process: &str, name: &str) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let value = status.lines().find_map(|it| it.strip_prefix(name))?;
    value.split_whitespace().next()?.parse().ok()
}

/// Memory in MiB of the process that was started and of those it has started: the server may be one
/// of them.
fn resident(server: &Server) -> u32 {
    let (pid, mut kib) = (server.pid(), 0);
    for entry in std::fs::read_dir("/proc").expect("a system that tells of its processes") {
        let process = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        if process == pid.to_string() || field(&process, "PPid:") == Some(pid) {
            kib += field(&process, "VmRSS:").unwrap_or_default();
        }
    }
    assert!(kib > 5_000, "a server needs more than {kib} KiB");
    kib / 1024
}

async fn read_all(user: &User) {
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let user = user.clone();
        readers.spawn(async move {
            for _ in 0..TIMES {
                let sync = user.get("/sync").query("timeout", 0).ok().await;
                assert!(sync.to_string().len() > PIECES * PIECE_BYTES);
            }
        });
    }
    readers.join_all().await;
}

async fn what_large_answers_took_is_given_back(host: Host) {
    let server = Server::start(host, Options::default());
    let before = resident(&server);
    let alice = User::register(&server, "alice").await;
    for number in 0..PIECES {
        let kind = format!("org.example.{number}");
        let content = json!({ "pile": "x".repeat(PIECE_BYTES) });
        alice.put(path(["user", &alice.id, "account_data", &kind])).json(&content).ok().await;
    }
    read_all(&alice).await;
    // Longer than it takes to be quiet, in tests.
    sleep(Duration::from_secs(2)).await;
    let after = resident(&server);
    println!("{before} MiB before, {after} MiB after");
    assert!(after <= before + KEPT_MIB, "{before} MiB before, {after} MiB after");
}
