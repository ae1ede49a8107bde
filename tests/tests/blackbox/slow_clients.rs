//! Clients that hold connections and send nothing on them: others are served meanwhile, and what
//! holds a connection without a request does not hold it for long. (At the edge, connections are
//! the platform's.)

use std::time::Duration;

use skerry_tests::{Host, Options, Server, User, raw};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

private_server![native: Native => [slow_clients_keep_no_connection_and_nobody_from_being_served]];

/// Connections of each kind.
const EACH: usize = 100;
/// How long one waits for news at least: longer than any of them lasts.
const POLL_MS: u64 = 45_000;
/// Until the server has ended all of them.
const ENDED: Duration = Duration::from_secs(90);

/// T1a
async fn slow_clients_keep_no_connection_and_nobody_from_being_served(host: Host) {
    let server = Server::start(host, Options::default());
    let alice = User::register(&server, "alice").await;
    let since = alice.sync().get().await.next_batch().to_owned();
    let mut held = Vec::new();
    for begun in [
        "",
        "GET /_matrix/client/ver",
        "POST /_matrix/client/v3/login HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{",
    ] {
        for _ in 0..EACH {
            let mut stream = raw::connect(server.url()).await;
            stream.write_all(begun.as_bytes()).await.expect("it takes bytes");
            held.push(stream);
        }
    }
    let poll = async {
        let news = alice.sync().since(&since).query("timeout", POLL_MS).get().await;
        assert!(news.is_empty());
    };
    let ended = async {
        for mut stream in held {
            // An answer, the end or a reset.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
        alice.get("/account/whoami").ok().await;
    };
    alice.sync().get().await;
    tokio::join!(poll, async { timeout(ENDED, ended).await.expect("the end of all") });
}
