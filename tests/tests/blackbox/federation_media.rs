//! Media of other servers, and this one's for them.

use super::media::{PNG, assert_file, bytes_of, downloading, path_of, upload};
use http::StatusCode;
use skerry_tests::{Host, Options, Request, Server, User, remote::Remote, unique};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

both_hosts![
    media_of_another_server_is_fetched_once,
    older_servers_are_asked_in_the_old_way,
    what_another_server_leads_to_is_fetched,
    t1e_no_server_leads_into_this_network,
    what_another_server_refuses_is_told,
    s_i3_what_is_no_answer_is_nothing,
    what_another_server_is_waited_for_it_may_still_have,
    media_is_given_to_other_servers,
    t15a_only_its_own_media_and_only_to_servers,
];

private_server![
    native_alone: Native => [
        t1e_what_is_too_large_is_not_fetched,
        t1e_a_user_has_so_much_fetched,
    ],
    worker_alone: Worker => [
        t1e_what_is_too_large_is_not_fetched,
        t1e_a_user_has_so_much_fetched,
    ],
];

const DOWNLOAD: &str = "/_matrix/federation/v1/media/download/";
const OLD: &str = "/_matrix/media/v3/download/";
const BOUNDARY: &str = "a-boundary-of-the-tests";

/// A whole answer of HTTP.
fn answer(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let reason = StatusCode::from_u16(status).expect("a status").canonical_reason();
    let reason = reason.unwrap_or_default();
    let length = body.len();
    // The connection ends behind it.
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\n{headers}Connection: close\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn json_answer(status: u16, errcode: &str) -> Vec<u8> {
    let body = format!("{{\"errcode\":\"{errcode}\",\"error\":\"of the tests\"}}");
    answer(status, "Content-Type: application/json\r\n", body.as_bytes())
}

/// An answer in two parts, the second of which has this head and these bytes.
fn in_parts(head: &str, bytes: &[u8]) -> Vec<u8> {
    let before = format!(
        "--{BOUNDARY}\r\nContent-Type: application/json\r\n\r\n{{}}\r\n--{BOUNDARY}\r\n{head}\r\n"
    );
    let body = [before.as_bytes(), bytes, format!("\r\n--{BOUNDARY}--\r\n").as_bytes()].concat();
    answer(200, &format!("Content-Type: multipart/mixed; boundary={BOUNDARY}\r\n"), &body)
}

/// An ID, and where a user of the server downloads it.
fn media_of(remote: &Remote) -> (String, String) {
    let id = unique("media");
    (id.clone(), format!("{}/{id}", remote.peer.name))
}

async fn media_of_another_server_is_fetched_once(server: &Server) {
    let remote = Remote::start();
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let (_, path) = media_of(&remote);
    let bytes = bytes_of(200_000);
    let given = bytes.clone();
    remote.answer_bytes(DOWNLOAD, move |_| {
        // Long enough that others ask meanwhile.
        std::thread::sleep(Duration::from_millis(300));
        in_parts(
            "Content-Type: video/x-test\r\nContent-Disposition: inline; filename=a\r\n",
            &given,
        )
    });
    let ask = |user: &User| downloading(user, &path).send();
    let (one, two, three, four) = tokio::join!(ask(&alice), ask(&bob), ask(&alice), ask(&bob));
    for reply in [one, two, three, four] {
        assert_file(&reply, &bytes, "video/x-test");
        // What is displayed is decided here.
        assert_eq!(reply.header("content-disposition"), Some("attachment; filename=a"));
    }
    let part = downloading(&bob, &path).header("range", "bytes=100-199").send().await;
    assert_eq!(part.status, 206);
    assert!(part.bytes == bytes[100..200], "other bytes");
    let asked = remote.asked(DOWNLOAD);
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].headers.contains_key("authorization"), "{asked:?}");
    // The server is not needed any more.
    drop(remote);
    assert_file(&downloading(&alice, &path).send().await, &bytes, "video/x-test");
}

async fn older_servers_are_asked_in_the_old_way(server: &Server) {
    let alice = User::register(server, "alice").await;
    for unknown in [json_answer(404, "M_UNRECOGNIZED"), answer(404, "", b"<html>not found</html>")]
    {
        let remote = Remote::start();
        let (id, path) = media_of(&remote);
        remote.answer_bytes(DOWNLOAD, move |_| unknown.clone());
        let head = "Content-Type: image/png\r\nContent-Disposition: inline; filename=\"b c\"\r\n";
        remote.answer_bytes(OLD, move |_| answer(200, head, PNG));
        let reply = downloading(&alice, &path).send().await;
        assert_file(&reply, PNG, "image/png");
        assert_eq!(reply.header("content-disposition"), Some("inline; filename=\"b c\""));
        let asked = remote.asked(OLD);
        assert_eq!(asked.len(), 1);
        let expected = format!("{OLD}{}/{id}?", remote.peer.name);
        assert!(asked[0].path.starts_with(&expected), "{asked:?}");
        assert!(asked[0].path.contains("allow_remote=false"), "{asked:?}");
        assert!(!asked[0].headers.contains_key("authorization"), "{asked:?}");
    }
    // Who does not have it is not asked twice.
    let remote = Remote::start();
    let (_, path) = media_of(&remote);
    remote.answer_bytes(DOWNLOAD, |_| json_answer(404, "M_NOT_FOUND"));
    downloading(&alice, &path).refused(404, "M_NOT_FOUND").await;
    assert!(remote.asked(OLD).is_empty());
}

async fn what_another_server_leads_to_is_fetched(server: &Server) {
    let alice = User::register(server, "alice").await;
    let (remote, elsewhere) = (Remote::start(), Remote::start());
    let (_, path) = media_of(&remote);
    let location = format!("Location: https://{}/cdn/some?token=x\r\n", elsewhere.peer.name);
    remote.answer_bytes(DOWNLOAD, move |_| in_parts(&location, b""));
    elsewhere.answer_bytes("/cdn/some", |_| answer(200, "Content-Type: image/png\r\n", PNG));
    assert_file(&downloading(&alice, &path).send().await, PNG, "image/png");
    let asked = elsewhere.asked("/cdn/some");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].path, "/cdn/some?token=x");
    assert!(!asked[0].headers.contains_key("authorization"), "{asked:?}");
}

async fn t1e_no_server_leads_into_this_network(server: &Server) {
    let alice = User::register(server, "alice").await;
    let inside = Remote::start();
    inside.answer_bytes("/", |_| answer(200, "Content-Type: image/png\r\n", PNG));
    let port = inside.peer.name.rsplit(':').next().expect("a port").to_owned();
    let locations = [
        // Not HTTPS.
        format!("http://localhost:{port}/secret"),
        "file:///etc/passwd".to_owned(),
        // Where no server is that anybody trusts.
        "https://10.0.0.1/secret".to_owned(),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "https://[::1]/secret".to_owned(),
        "https://0x7f000001/secret".to_owned(),
        format!("https://user:pass@localhost:{port}/secret"),
        "/secret".to_owned(),
        "nonsense".to_owned(),
    ];
    for location in locations {
        let remote = Remote::start();
        let (_, path) = media_of(&remote);
        let head = format!("Location: {location}\r\n");
        remote.answer_bytes(DOWNLOAD, move |_| in_parts(&head, b""));
        let reply = downloading(&alice, &path).send().await;
        assert_eq!(reply.status, 502, "{location}: {reply}");
    }
    assert!(inside.asked("/secret").is_empty());
    // Nor by one step more.
    let remote = Remote::start();
    let (_, path) = media_of(&remote);
    let head = format!("Location: https://{}/step\r\n", inside.peer.name);
    remote.answer_bytes(DOWNLOAD, move |_| in_parts(&head, b""));
    let further = format!("Location: https://localhost:{port}/secret\r\n");
    inside.answer_bytes("/step", move |_| answer(302, &further, b""));
    assert_eq!(downloading(&alice, &path).send().await.status, 502);
    assert!(inside.asked("/secret").is_empty());
}

async fn what_another_server_refuses_is_told(server: &Server) {
    let alice = User::register(server, "alice").await;
    let cases = [
        (404, "M_NOT_FOUND", 404, "M_NOT_FOUND"),
        (504, "M_NOT_YET_UPLOADED", 504, "M_NOT_YET_UPLOADED"),
        (502, "M_TOO_LARGE", 502, "M_TOO_LARGE"),
        (413, "M_TOO_LARGE", 502, "M_TOO_LARGE"),
        (403, "M_FORBIDDEN", 403, "M_FORBIDDEN"),
        (500, "M_UNKNOWN", 502, "M_UNKNOWN"),
        // A client that is told so logs out.
        (401, "M_UNKNOWN_TOKEN", 502, "M_UNKNOWN"),
    ];
    for (status, errcode, expected_status, expected) in cases {
        let remote = Remote::start();
        let (_, path) = media_of(&remote);
        remote.answer_bytes(DOWNLOAD, move |_| json_answer(status, errcode));
        downloading(&alice, &path).refused(expected_status, expected).await;
        // It can be asked again.
        remote.answer_bytes(DOWNLOAD, |_| in_parts("Content-Type: image/png\r\n", PNG));
        assert_file(&downloading(&alice, &path).send().await, PNG, "image/png");
    }
}

async fn s_i3_what_is_no_answer_is_nothing(server: &Server) {
    let alice = User::register(server, "alice").await;
    let multipart = format!("Content-Type: multipart/mixed; boundary={BOUNDARY}\r\n");
    let whole = in_parts("Content-Type: image/png\r\n", &bytes_of(50_000));
    let unended = format!("--{BOUNDARY}\r\n\r\n{{}}\r\n--{BOUNDARY}\r\n\r\nsome");
    let headless = format!("--{BOUNDARY}\r\n\r\n{{}}\r\n--{BOUNDARY}\r\nA: {}", "x".repeat(99_000));
    let answers = [
        answer(200, "Content-Type: image/png\r\n", PNG),
        answer(200, "Content-Type: multipart/mixed\r\n", PNG),
        answer(200, "", b""),
        answer(200, &multipart, b""),
        answer(200, &multipart, b"no boundary at all"),
        answer(200, &multipart, unended.as_bytes()),
        answer(200, &multipart, headless.as_bytes()),
        answer(302, "Location: /elsewhere\r\n", b""),
        // It breaks off.
        whole[..whole.len() / 2].to_vec(),
        b"SSH-2.0-nonsense\r\n\r\n".to_vec(),
    ];
    for (number, wrong) in answers.into_iter().enumerate() {
        let remote = Remote::start();
        let (_, path) = media_of(&remote);
        remote.answer_bytes(DOWNLOAD, move |_| wrong.clone());
        let reply = downloading(&alice, &path).send().await;
        assert_eq!(reply.status, 502, "{number}: {reply}");
        remote.answer_bytes(DOWNLOAD, |_| in_parts("Content-Type: image/png\r\n", PNG));
        // A server that has broken off is left alone for a moment.
        let deadline = tokio::time::Instant::now() + skerry_tests::PATIENCE;
        let reply = loop {
            let reply = downloading(&alice, &path).send().await;
            if reply.status == 200 || tokio::time::Instant::now() > deadline {
                break reply;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_file(&reply, PNG, "image/png");
    }
}

async fn what_another_server_is_waited_for_it_may_still_have(server: &Server) {
    let (remote, alice) = (Remote::start(), User::register(server, "alice").await);
    let (_, path) = media_of(&remote);
    remote.answer_bytes(DOWNLOAD, |_| in_parts("", PNG));
    let reply = downloading(&alice, &path).query("timeout_ms", 5_000).send().await;
    assert_file(&reply, PNG, "application/octet-stream");
    assert_eq!(reply.header("content-disposition"), Some("attachment"));
    assert!(remote.asked(DOWNLOAD)[0].path.ends_with("?timeout_ms=5000"));
}

/// A signed request for media.
fn asking(remote: &Remote, server: &Server, id: &str) -> Request {
    remote.get(server, &format!("{DOWNLOAD}{id}"))
}

async fn media_is_given_to_other_servers(server: &Server) {
    let (remote, alice) = (Remote::start(), User::register(server, "alice").await);
    for bytes in [PNG.to_vec(), Vec::new(), bytes_of(3_000_000)] {
        let request = super::media::uploading(&alice, &bytes, "image/png").query("filename", "a b");
        let uploaded = request.ok().await;
        let path = path_of(uploaded["content_uri"].as_str().expect("a URI"));
        let id = path.rsplit('/').next().expect("an ID");
        let reply = asking(&remote, server, id).send().await;
        assert_eq!(reply.status, 200, "{reply}");
        let kind = reply.header("content-type").unwrap_or_default();
        let boundary = kind.strip_prefix("multipart/mixed; boundary=").expect("parts");
        let disposition = if bytes == PNG { "inline" } else { "attachment" };
        let before = format!(
            "\r\n--{boundary}\r\nContent-Type: application/json\r\n\r\n{{}}\r\n--{boundary}\r\n\
             Content-Type: image/png\r\n\
             Content-Disposition: {disposition}; filename=\"a b\"\r\n\r\n"
        );
        let after = format!("\r\n--{boundary}--\r\n");
        let expected = [before.as_bytes(), &bytes, after.as_bytes()].concat();
        assert!(reply.bytes == expected, "{reply}");
        assert_eq!(reply.header("content-length"), Some(&*expected.len().to_string()));
    }
    let created = alice.post("/_matrix/media/v1/create").ok().await;
    let path = path_of(created["content_uri"].as_str().expect("a URI"));
    let id = path.rsplit('/').next().expect("an ID");
    let waiting = asking(&remote, server, &format!("{id}?timeout_ms=0"));
    waiting.refused(504, "M_NOT_YET_UPLOADED").await;
}

async fn t15a_only_its_own_media_and_only_to_servers(server: &Server) {
    let (remote, other) = (Remote::start(), Remote::start());
    let alice = User::register(server, "alice").await;
    let path = upload(&alice, PNG, "image/png").await;
    let id = path.rsplit('/').next().expect("an ID");
    let nobody = skerry_tests::Client::new(server.url());
    nobody.get(format!("{DOWNLOAD}{id}")).refused(401, "M_UNAUTHORIZED").await;
    alice.get(format!("{DOWNLOAD}{id}")).refused(401, "M_UNAUTHORIZED").await;
    asking(&remote, server, "nothing").refused(404, "M_NOT_FOUND").await;
    asking(&remote, server, "a.b").refused(400, "M_INVALID_PARAM").await;
    // What is only kept here.
    let (id, path) = media_of(&other);
    other.answer_bytes(DOWNLOAD, |_| in_parts("Content-Type: image/png\r\n", PNG));
    assert_file(&downloading(&alice, &path).send().await, PNG, "image/png");
    asking(&remote, server, &id).refused(404, "M_NOT_FOUND").await;
    asking(&remote, server, &path).send().await.client_error();
}

async fn t1e_what_is_too_large_is_not_fetched(host: Host) {
    let media_limits = "remote=100K".to_owned();
    let server = Server::start(host, Options { media_limits, ..Options::default() });
    let alice = User::register(&server, "alice").await;
    let (fits, large) = (bytes_of(100 * 1024), bytes_of(100 * 1024 + 1));
    for (bytes, fits) in [(fits, true), (large, false), (bytes_of(5_000_000), false)] {
        for way in ["parts", "old", "location"] {
            let remote = Remote::start();
            let (_, path) = media_of(&remote);
            let whole = answer(200, "Content-Type: image/x-test\r\n", &bytes);
            let location = format!("Location: https://{}/cdn\r\n", remote.peer.name);
            let first = match way {
                "parts" => in_parts("Content-Type: image/x-test\r\n", &bytes),
                "old" => json_answer(404, "M_UNRECOGNIZED"),
                _ => in_parts(&location, b""),
            };
            remote.answer_bytes(DOWNLOAD, move |_| first.clone());
            let again = whole.clone();
            remote.answer_bytes(OLD, move |_| whole.clone());
            remote.answer_bytes("/cdn", move |_| again.clone());
            let request = downloading(&alice, &path);
            match fits {
                true => assert_file(&request.send().await, &bytes, "image/x-test"),
                false => drop(request.refused(502, "M_TOO_LARGE").await),
            }
        }
    }
}

async fn t1e_a_user_has_so_much_fetched(host: Host) {
    let rate_limits = "off,media-fetched=1/d:100".to_owned();
    let server = Server::start(host, Options { rate_limits, ..Options::default() });
    let (alice, bob) =
        (User::register(&server, "alice").await, User::register(&server, "bob").await);
    let (remote, asked) = (Remote::start(), Arc::new(AtomicUsize::new(0)));
    let counted = asked.clone();
    remote.answer_bytes(DOWNLOAD, move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        in_parts("Content-Type: image/x-test\r\n", &bytes_of(150_000))
    });
    let (_, first) = media_of(&remote);
    assert_eq!(downloading(&alice, &first).send().await.status, 200);
    let (_, second) = media_of(&remote);
    downloading(&alice, &second).refused(429, "M_LIMIT_EXCEEDED").await;
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    // What is here may be had.
    assert_eq!(downloading(&alice, &first).send().await.status, 200);
    assert_eq!(downloading(&bob, &second).send().await.status, 200);
    assert_eq!(downloading(&alice, &second).send().await.status, 200);
}
