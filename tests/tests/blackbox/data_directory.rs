//! What the data directory of the native server shows to whoever gets hold of it.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use skerry_tests::{Host, Options, Server, User, json, path};
use tokio::time::{Instant, sleep};

private_server![native: Native => [
    the_data_is_for_its_owner_alone,
    what_was_redacted_or_replaced_is_in_no_file,
]];

/// How long the server may take to empty its files of what was removed.
const GONE: Duration = Duration::from_mins(1);

/// Whether a file has it.
fn is_stored(directory: &Path, text: &str) -> bool {
    let files = fs::read_dir(directory).expect("the data");
    files.flatten().any(|it| {
        let bytes = fs::read(it.path()).unwrap_or_default();
        bytes.windows(text.len()).any(|part| part == text.as_bytes())
    })
}

async fn the_data_is_for_its_owner_alone(host: Host) {
    let server = Server::start(host, Options::default());
    User::register(&server, "alice").await;
    let mode = |path: &Path| path.metadata().expect("metadata").permissions().mode() & 0o777;
    assert_eq!(mode(server.data()), 0o700);
    for file in fs::read_dir(server.data()).expect("the data").flatten() {
        assert_eq!(mode(&file.path()), 0o600, "{}", file.path().display());
    }
}

async fn what_was_redacted_or_replaced_is_in_no_file(host: Host) {
    let server = Server::start(host, Options::default());
    let (alice, bob) =
        (User::register(&server, "alice").await, User::register(&server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let (short, long) = ("the-short-secret-of-alice", "the-long-secret-of-alice ".repeat(1_500));
    let data = path(["user", &alice.id, "account_data", "org.example"]);
    alice.put(&data).json(&json!({ "secret": "the-setting-of-alice" })).ok().await;
    let secrets = [short, "the-long-secret-of-alice", "the-setting-of-alice"];
    for body in [short, &long] {
        let event = alice.say(&room, body).await;
        bob.sync().until_event(&room, &event).await;
        assert!(is_stored(server.data(), &body[..20]));
        alice.redact(&room, &event).await;
    }
    alice.put(&data).json(&json!({})).ok().await;
    let began = Instant::now();
    while let Some(secret) = secrets.iter().find(|it| is_stored(server.data(), it)) {
        assert!(began.elapsed() < GONE, "{secret} is still there");
        sleep(Duration::from_millis(200)).await;
    }
}
