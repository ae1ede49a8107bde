//! What a native server needed once it gives back to the system.

use skerry_tests::{Host, Options, Server, User, json, path};
use tokio::task::JoinSet;

private_server! {
    native: Native => [what_large_answers_took_is_given_back],
}

/// Pieces of account data, with the size of each: what a user may store, about.
const PIECES: usize = 15;
const PIECE_BYTES: usize = 250_000;
/// Who reads all of it at the same time, and how often.
const READERS: usize = 6;
const TIMES: usize = 10;
/// Much less than one of them needs for its answer.
const KEPT_MIB: usize = 12;

/// Memory of the process in MiB.
fn resident(server: &Server) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid()));
    let status = status.expect("a system that tells of its processes");
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:")).expect("a size");
    let kib = line.split_whitespace().next().and_then(|it| it.parse::<usize>().ok());
    kib.expect("a number") / 1024
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
    let alice = User::register(&server, "alice").await;
    for number in 0..PIECES {
        let kind = format!("org.example.{number}");
        let content = json!({ "pile": "x".repeat(PIECE_BYTES) });
        alice.put(path(["user", &alice.id, "account_data", &kind])).json(&content).ok().await;
    }
    let before = resident(&server);
    read_all(&alice).await;
    let after = resident(&server);
    assert!(after <= before + KEPT_MIB, "{before} MiB before, {after} MiB after");
}
