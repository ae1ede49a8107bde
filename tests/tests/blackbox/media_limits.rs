//! How much media there may be (T1d).

use super::media::{PNG, bytes_of, downloading, path_of, upload, uploading};
use skerry_tests::{Client, Host, Options, Request, Server, User, raw};

private_server![
    native: Native => [
        t1d_a_file_that_is_too_large_is_refused,
        t1d_a_user_uploads_so_much_a_day,
        t1d_a_user_has_so_many_unused_identifiers,
        uploads_and_downloads_have_buckets,
    ],
    worker: Worker => [
        t1d_a_file_that_is_too_large_is_refused,
        t1d_a_user_uploads_so_much_a_day,
        t1d_a_user_has_so_many_unused_identifiers,
        uploads_and_downloads_have_buckets,
    ],
];

fn limited(host: Host, media_limits: &str) -> Server {
    let media_limits = media_limits.to_owned();
    Server::start(host, Options { media_limits, ..Options::default() })
}

async fn t1d_a_file_that_is_too_large_is_refused(host: Host) {
    let server = limited(host, "upload=100K");
    let alice = User::register(&server, "alice").await;
    let config = alice.get("/_matrix/client/v1/media/config").ok().await;
    assert_eq!(config["m.upload.size"], 100 * 1024);
    let fits = bytes_of(100 * 1024);
    let path = upload(&alice, &fits, "image/x-test").await;
    assert!(downloading(&alice, &path).send().await.bytes == fits, "other bytes");
    let large = bytes_of(100 * 1024 + 1);
    uploading(&alice, &large, "image/x-test").refused(413, "M_TOO_LARGE").await;
    let created = alice.post("/_matrix/media/v1/create").ok().await;
    let path = path_of(created["content_uri"].as_str().expect("a URI"));
    let put = |bytes: &[u8]| alice.put(format!("/_matrix/media/v3/upload/{path}")).bytes(bytes);
    put(&large).refused(413, "M_TOO_LARGE").await;
    put(&fits).ok().await;
    // Whoever does not say how much it is comes as far as that.
    let head = raw::head("POST /_matrix/media/v3/upload", Some(&alice.token));
    let mut chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for chunk in large.chunks(10_000) {
        chunked.extend(format!("{:x}\r\n", chunk.len()).bytes());
        chunked.extend(chunk);
        chunked.extend(b"\r\n");
    }
    chunked.extend(b"0\r\n\r\n");
    raw::send(server.url(), &chunked).await.refused(413, "M_TOO_LARGE");
}

async fn t1d_a_user_uploads_so_much_a_day(host: Host) {
    let server = limited(host, "user-day=2500,user-day-files=4");
    let (alice, bob) =
        (User::register(&server, "alice").await, User::register(&server, "bob").await);
    let refused = async |user: &User, length: usize| {
        uploading(user, &bytes_of(length), "image/x-test").refused(403, "M_FORBIDDEN").await
    };
    refused(&alice, 2_501).await;
    upload(&alice, &bytes_of(1_000), "image/x-test").await;
    let last = upload(&alice, &bytes_of(1_000), "image/x-test").await;
    refused(&alice, 501).await;
    upload(&alice, &bytes_of(500), "image/x-test").await;
    let said = refused(&alice, 1).await;
    assert!(said["error"].as_str().is_some_and(|it| it.contains("2500 bytes in 24 hours")));
    // What was created before counts as well.
    let created = alice.post("/_matrix/media/v1/create").ok().await;
    let path = path_of(created["content_uri"].as_str().expect("a URI"));
    let put = alice.put(format!("/_matrix/media/v3/upload/{path}")).bytes(PNG);
    put.refused(403, "M_FORBIDDEN").await;
    // It is no one else's, and what is there can be had.
    for _ in 0..4 {
        upload(&bob, b"x", "text/plain").await;
    }
    refused(&bob, 1).await;
    downloading(&alice, &last).send().await;
}

async fn t1d_a_user_has_so_many_unused_identifiers(host: Host) {
    let server = limited(host, "pending=2");
    let (alice, bob) =
        (User::register(&server, "alice").await, User::register(&server, "bob").await);
    let create = |user: &Client| -> Request { user.post("/_matrix/media/v1/create") };
    let first = create(&alice).ok().await;
    create(&alice).ok().await;
    let said = create(&alice).refused(429, "M_LIMIT_EXCEEDED").await;
    assert!(said["retry_after_ms"].is_u64(), "{said}");
    create(&bob).ok().await;
    let path = path_of(first["content_uri"].as_str().expect("a URI"));
    alice.put(format!("/_matrix/media/v3/upload/{path}")).bytes(PNG).ok().await;
    create(&alice).ok().await;
    create(&alice).refused(429, "M_LIMIT_EXCEEDED").await;
}

async fn uploads_and_downloads_have_buckets(host: Host) {
    let rate_limits = "off,uploads=1/d:2,media=1/d:3,media-answers=1/d:100".to_owned();
    let server = Server::start(host, Options { rate_limits, ..Options::default() });
    // The first account administers the server, and is not counted.
    User::register(&server, "admin").await;
    let (alice, bob) =
        (User::register(&server, "alice").await, User::register(&server, "bob").await);
    let small = upload(&alice, PNG, "image/png").await;
    let large = upload(&alice, &bytes_of(300_000), "image/x-test").await;
    uploading(&alice, PNG, "image/png").refused(429, "M_LIMIT_EXCEEDED").await;
    alice.post("/_matrix/media/v1/create").refused(429, "M_LIMIT_EXCEEDED").await;
    for _ in 0..3 {
        assert_eq!(downloading(&bob, &small).send().await.status, 200);
    }
    downloading(&bob, &small).refused(429, "M_LIMIT_EXCEEDED").await;
    // A large file is given, and the rest is owed. Everything else is not touched by that.
    assert_eq!(downloading(&alice, &large).send().await.status, 200);
    downloading(&alice, &small).refused(429, "M_LIMIT_EXCEEDED").await;
    alice.get("/account/whoami").ok().await;
    alice.get("/sync").ok().await;
}
