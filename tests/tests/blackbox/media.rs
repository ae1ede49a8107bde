//! Media: uploads and downloads, and what browsers and strangers may do with it.

use skerry_tests::{Client, Host, Options, Reply, Request, Server, User, json, unique};
use std::time::Duration;

both_hosts![
    a_file_comes_back_as_it_went,
    s_k3_s_e11_nothing_that_is_uploaded_is_a_page,
    s_i1_a_file_name_splits_no_header,
    a_file_is_given_in_parts,
    a_large_file_goes_both_ways,
    a_file_may_be_uploaded_after_it_was_named,
    who_waits_for_an_upload_is_given_it,
    what_is_no_media_is_not_found,
    s_g4_strangers_are_given_nothing,
    uploads_may_be_as_large_as_is_said,
];

private_server![
    native_alone: Native => [
        what_was_uploaded_outlives_a_crash,
        an_upload_that_breaks_off_leaves_nothing,
    ],
    worker_alone: Worker => [what_was_uploaded_outlives_a_crash],
];

/// What a PNG begins with, and nothing else of it.
pub(crate) const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01";

/// Bytes that are no text, and that no other test has.
pub(crate) fn bytes_of(length: usize) -> Vec<u8> {
    let salt = unique("salt");
    let salt = salt.bytes().fold(7_u32, |sum, it| sum.wrapping_mul(31).wrapping_add(it.into()));
    let byte = |at: u32| at.wrapping_mul(2_654_435_761).wrapping_add(salt).to_be_bytes()[0];
    (0_u32..).map(byte).take(length).collect()
}

/// A request to upload a file.
#[track_caller]
pub(crate) fn uploading(user: &User, bytes: &[u8], kind: &str) -> Request {
    user.post("/_matrix/media/v3/upload").bytes(bytes).header("content-type", kind)
}

/// Uploads a file, and tells its path below those of media: server and ID.
pub(crate) async fn upload(user: &User, bytes: &[u8], kind: &str) -> String {
    let uploaded = uploading(user, bytes, kind).ok().await;
    path_of(uploaded["content_uri"].as_str().expect("a URI"))
}

pub(crate) fn path_of(uri: &str) -> String {
    uri.strip_prefix("mxc://").unwrap_or_else(|| panic!("no URI: {uri}")).to_owned()
}

/// A request to download a file.
#[track_caller]
pub(crate) fn downloading(user: &Client, path: &str) -> Request {
    user.get(format!("/_matrix/client/v1/media/download/{path}"))
}

/// Asserts that it is this file.
pub(crate) fn assert_file(reply: &Reply, bytes: &[u8], kind: &str) {
    assert_eq!(reply.status, 200, "{reply}");
    assert_eq!(reply.bytes.len(), bytes.len());
    assert!(reply.bytes == bytes, "other bytes");
    assert_eq!(reply.header("content-type"), Some(kind));
}

async fn a_file_comes_back_as_it_went(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let files = [
        (PNG.to_vec(), "image/png", Some("a.png"), "inline; filename=a.png"),
        (bytes_of(70_000), "application/octet-stream", None, "attachment"),
        (Vec::new(), "text/plain; charset=utf-8", None, "inline"),
        (vec![0; 1], "application/pdf", Some("\u{e9}\u{1f600}.pdf"), "attachment; filename*="),
    ];
    for (bytes, kind, name, disposition) in files {
        let mut request = uploading(&alice, &bytes, kind);
        if let Some(name) = name {
            request = request.query("filename", name);
        }
        let uploaded = request.ok().await;
        let uri = uploaded["content_uri"].as_str().expect("a URI");
        assert!(uri.starts_with(&format!("mxc://{}/", server.name())), "{uri}");
        for user in [&alice, &bob] {
            let reply = downloading(user, &path_of(uri)).send().await;
            assert_file(&reply, &bytes, kind);
            let said = reply.header("content-disposition").unwrap_or_default();
            assert!(said.starts_with(disposition), "{said}");
            assert_eq!(reply.header("content-length"), Some(&*bytes.len().to_string()));
        }
        let renamed = downloading(&bob, &format!("{}/b%20c.png", path_of(uri))).send().await;
        assert_file(&renamed, &bytes, kind);
        let said = renamed.header("content-disposition").unwrap_or_default();
        assert!(said.ends_with("; filename=\"b c.png\""), "{said}");
    }
    // Without a type it is one that no browser displays.
    let untyped = uploading(&alice, b"x", "").ok().await;
    let untyped = downloading(&bob, &path_of(untyped["content_uri"].as_str().expect("a URI")));
    assert_file(&untyped.send().await, b"x", "application/octet-stream");
}

async fn s_k3_s_e11_nothing_that_is_uploaded_is_a_page(server: &Server) {
    let alice = User::register(server, "alice").await;
    let page = b"<html><script>alert(document.cookie)</script></html>";
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>";
    let files: [(&[u8], &str, &str); 8] = [
        (page, "text/html", "attachment"),
        (svg, "image/svg+xml", "attachment"),
        (page, "application/xhtml+xml", "attachment"),
        (page, "text/javascript", "attachment"),
        (PNG, "text/html", "attachment"),
        // What calls itself a picture and is none.
        (page, "image/png", "attachment"),
        (PNG, "image/png", "inline"),
        (page, "text/plain", "inline"),
    ];
    for (bytes, kind, disposition) in files {
        let path = upload(&alice, bytes, kind).await;
        let reply = downloading(&alice, &path).send().await;
        assert_file(&reply, bytes, kind);
        assert_eq!(reply.header("content-disposition"), Some(disposition), "{kind}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.header("cross-origin-resource-policy"), Some("cross-origin"));
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        let policy = reply.header("content-security-policy").unwrap_or_default();
        for closed in ["sandbox;", "default-src 'none'", "script-src 'none'"] {
            assert!(policy.contains(closed), "{policy}");
        }
        // Only who may ask for it keeps it.
        let cache = reply.header("cache-control").unwrap_or_default();
        assert!(cache.contains("private"), "{cache}");
    }
    for kind in ["nonsense", "image/png/png", "a b/c"] {
        let path = upload(&alice, PNG, kind).await;
        let reply = downloading(&alice, &path).send().await;
        assert_file(&reply, PNG, "application/octet-stream");
        assert_eq!(reply.header("content-disposition"), Some("attachment"), "{kind}");
    }
}

async fn s_i1_a_file_name_splits_no_header(server: &Server) {
    let alice = User::register(server, "alice").await;
    let names = ["\"\r\nX-Evil: 1", "a\nX-Evil: 1", "\u{e9}\r\nX-Evil: 1", "\";x=\"", "\\\"", "\0"];
    for name in names {
        let request = uploading(&alice, PNG, "image/png").query("filename", name);
        let path = path_of(request.ok().await["content_uri"].as_str().expect("a URI"));
        let encoded = skerry_tests::encode(name);
        for path in [path.clone(), format!("{path}/{encoded}")] {
            let reply = downloading(&alice, &path).send().await;
            assert_file(&reply, PNG, "image/png");
            assert_eq!(reply.header("x-evil"), None, "{name:?}");
            let said = reply.header("content-disposition").unwrap_or_default();
            assert!(said.starts_with("inline; filename"), "{said}");
        }
    }
    let long = "x".repeat(2_000);
    let request = uploading(&alice, PNG, "image/png").query("filename", &long);
    let path = path_of(request.ok().await["content_uri"].as_str().expect("a URI"));
    let reply = downloading(&alice, &path).send().await;
    assert_eq!(reply.header("content-disposition"), Some("inline"), "no name is so long");
    let path = format!("{path}/{long}");
    downloading(&alice, &path).refused(400, "M_INVALID_PARAM").await;
}

async fn a_file_is_given_in_parts(server: &Server) {
    let alice = User::register(server, "alice").await;
    let bytes = bytes_of(300_000);
    let path = upload(&alice, &bytes, "video/mp4").await;
    let whole = downloading(&alice, &path).send().await;
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    let tag = whole.header("etag").expect("a tag").to_owned();
    let parts = [
        ("bytes=0-0", 0..1),
        ("bytes=100-199", 100..200),
        ("bytes=299999-", 299_999..300_000),
        ("bytes=-1000", 299_000..300_000),
        ("bytes=200000-999999999", 200_000..300_000),
    ];
    for (range, expected) in parts {
        for if_range in [None, Some(&*tag)] {
            let mut request = downloading(&alice, &path).header("range", range);
            if let Some(tag) = if_range {
                request = request.header("if-range", tag);
            }
            let reply = request.send().await;
            assert_eq!(reply.status, 206, "{range}");
            assert!(reply.bytes == bytes[expected.clone()], "{range}");
            let said = format!("bytes {}-{}/300000", expected.start, expected.end - 1);
            assert_eq!(reply.header("content-range"), Some(&*said));
            assert_eq!(reply.header("content-type"), Some("video/mp4"));
        }
    }
    for range in ["bytes=300000-", "bytes=400000-500000", "bytes=-0"] {
        let reply = downloading(&alice, &path).header("range", range).send().await;
        assert_eq!(reply.status, 416, "{range}");
        assert_eq!(reply.header("content-range"), Some("bytes */300000"), "{range}");
        assert!(reply.bytes.is_empty(), "{range}");
    }
    let wholes = [
        ("bytes=0-1,5-6", None),
        ("lines=0-1", None),
        ("bytes=5-1", None),
        ("bytes=0-1", Some("\"another\"")),
    ];
    for (range, if_range) in wholes {
        let mut request = downloading(&alice, &path).header("range", range);
        if let Some(tag) = if_range {
            request = request.header("if-range", tag);
        }
        assert_file(&request.send().await, &bytes, "video/mp4");
    }
    let same = downloading(&alice, &path).header("if-none-match", &tag).send().await;
    assert_eq!((same.status, same.bytes.len()), (304, 0));
    let head = alice.request("HEAD", &format!("/_matrix/client/v1/media/download/{path}"));
    let head = head.send().await;
    assert_eq!((head.status, head.bytes.len()), (200, 0));
}

async fn a_large_file_goes_both_ways(server: &Server) {
    let alice = User::register(server, "alice").await;
    // Longer than the parts in which some stores take it, and no multiple of anything.
    let bytes = bytes_of(12 * 1024 * 1024 + 12_345);
    let path = upload(&alice, &bytes, "application/zip").await;
    assert_file(&downloading(&alice, &path).send().await, &bytes, "application/zip");
    let part = downloading(&alice, &path).header("range", "bytes=5000000-12000000").send().await;
    assert!(part.bytes == bytes[5_000_000..=12_000_000], "other bytes");
}

async fn a_file_may_be_uploaded_after_it_was_named(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let created = alice.post("/_matrix/media/v1/create").ok().await;
    assert!(created["unused_expires_at"].as_u64().is_some_and(|it| it > 1_700_000_000_000));
    let path = path_of(created["content_uri"].as_str().expect("a URI"));
    let look = || downloading(&bob, &path).query("timeout_ms", 0);
    look().refused(504, "M_NOT_YET_UPLOADED").await;
    let put = |user: &User| {
        let request = user.put(format!("/_matrix/media/v3/upload/{path}")).bytes(PNG);
        request.header("content-type", "image/png").query("filename", "later.png")
    };
    put(&bob).refused(403, "M_FORBIDDEN").await;
    look().refused(504, "M_NOT_YET_UPLOADED").await;
    assert_eq!(put(&alice).ok().await, json!({}));
    let reply = look().send().await;
    assert_file(&reply, PNG, "image/png");
    assert_eq!(reply.header("content-disposition"), Some("inline; filename=later.png"));
    put(&alice).refused(409, "M_CANNOT_OVERWRITE_MEDIA").await;
    // What was uploaded by itself is not overwritten either.
    let other = upload(&alice, PNG, "image/png").await;
    let again = alice.put(format!("/_matrix/media/v3/upload/{other}")).bytes(b"x");
    again.refused(409, "M_CANNOT_OVERWRITE_MEDIA").await;
    for unknown in [format!("{}/never", server.name()), "other.example/never".to_owned()] {
        let request = alice.put(format!("/_matrix/media/v3/upload/{unknown}")).bytes(PNG);
        request.refused(404, "M_NOT_FOUND").await;
    }
    // Of two uploads at once one counts.
    let created = alice.post("/_matrix/media/v1/create").ok().await;
    let path = path_of(created["content_uri"].as_str().expect("a URI"));
    let files = [bytes_of(50_000), bytes_of(60_000)];
    let both = files
        .each_ref()
        .map(|bytes| alice.put(format!("/_matrix/media/v3/upload/{path}")).bytes(bytes).send());
    let [one, other] = both;
    let (one, other) = tokio::join!(one, other);
    let statuses = [one.status, other.status];
    assert!(statuses == [200, 409] || statuses == [409, 200], "{one} {other}");
    let counts = &files[usize::from(statuses[0] == 409)];
    assert!(downloading(&bob, &path).send().await.bytes == *counts, "another file");
}

async fn who_waits_for_an_upload_is_given_it(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let created = alice.post("/_matrix/media/v1/create").ok().await;
    let path = path_of(created["content_uri"].as_str().expect("a URI"));
    let waiting = downloading(&bob, &path).query("timeout_ms", 20_000).send();
    let uploading = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let put = alice.put(format!("/_matrix/media/v3/upload/{path}")).bytes(PNG);
        put.header("content-type", "image/png").ok().await;
    };
    let (reply, ()) = tokio::join!(waiting, uploading);
    assert_file(&reply, PNG, "image/png");
}

async fn what_is_no_media_is_not_found(server: &Server) {
    let alice = User::register(server, "alice").await;
    let name = server.name();
    downloading(&alice, &format!("{name}/nothing")).refused(404, "M_NOT_FOUND").await;
    for id in ["a%2F..%2Fb", "a.png", "%00", "a%20b", &"x".repeat(300)] {
        downloading(&alice, &format!("{name}/{id}")).refused(400, "M_INVALID_PARAM").await;
    }
    for server in ["", "a%2Fb", "..", "a%20b", "127.0.0.1%2F.."] {
        downloading(&alice, &format!("{server}/nothing")).send().await.client_error();
    }
    let lost = downloading(&alice, "nowhere.invalid/nothing").send().await;
    assert!([404, 502].contains(&lost.status), "{lost}");
}

async fn s_g4_strangers_are_given_nothing(server: &Server) {
    let (alice, anyone) = (User::register(server, "alice").await, Client::new(server.url()));
    let path = upload(&alice, PNG, "image/png").await;
    downloading(&anyone, &path).refused(401, "M_MISSING_TOKEN").await;
    anyone.get("/_matrix/client/v1/media/config").refused(401, "M_MISSING_TOKEN").await;
    anyone.post("/_matrix/media/v3/upload").bytes(PNG).refused(401, "M_MISSING_TOKEN").await;
    anyone.post("/_matrix/media/v1/create").refused(401, "M_MISSING_TOKEN").await;
    for version in ["r0", "v3"] {
        let old = format!("/_matrix/media/{version}");
        for path in [path.clone(), format!("{path}/a.png"), "localhost:1/nothing".to_owned()] {
            let request = anyone.get(format!("{old}/download/{path}"));
            request.refused(404, "M_NOT_FOUND").await;
        }
        let request = anyone.get(format!("{old}/thumbnail/{path}"));
        request.query("width", 32).query("height", 32).refused(404, "M_NOT_FOUND").await;
    }
}

async fn uploads_may_be_as_large_as_is_said(server: &Server) {
    let alice = User::register(server, "alice").await;
    let said = alice.get("/_matrix/client/v1/media/config").ok().await;
    assert_eq!(said, json!({ "m.upload.size": 50 * 1024 * 1024 }));
    for version in ["r0", "v3"] {
        let old = alice.get(format!("/_matrix/media/{version}/config")).ok().await;
        assert_eq!(old, said);
    }
}

async fn what_was_uploaded_outlives_a_crash(host: Host) {
    let mut server = Server::start(host, Options::default());
    let alice = User::register(&server, "alice").await;
    let bytes = bytes_of(400_000);
    let path = upload(&alice, &bytes, "image/x-test").await;
    let created = alice.post("/_matrix/media/v1/create").ok().await;
    let later = path_of(created["content_uri"].as_str().expect("a URI"));
    server.restart();
    let alice = alice.at(&server);
    assert_file(&downloading(&alice, &path).send().await, &bytes, "image/x-test");
    let put = alice.put(format!("/_matrix/media/v3/upload/{later}")).bytes(PNG);
    put.header("content-type", "image/png").ok().await;
    server.restart();
    assert_file(&downloading(&alice.at(&server), &later).send().await, PNG, "image/png");
}

async fn an_upload_that_breaks_off_leaves_nothing(host: Host) {
    let server = Server::start(host, Options::default());
    let alice = User::register(&server, "alice").await;
    let head = skerry_tests::raw::head("POST /_matrix/media/v3/upload", Some(&alice.token));
    for announced in ["Content-Length: 2000000", "Transfer-Encoding: chunked"] {
        let mut connection = skerry_tests::raw::connect(server.url()).await;
        let body = if announced.contains("chunked") { "7a120\r\n" } else { "" };
        let begun = format!("{head}{announced}\r\n\r\n{body}{}", "x".repeat(500_000));
        tokio::io::AsyncWriteExt::write_all(&mut connection, begun.as_bytes()).await.expect("sent");
        drop(connection);
    }
    let is_empty = || {
        let directories = std::fs::read_dir(server.data().join("media")).expect("media");
        let mut files = directories.flatten().flat_map(|it| std::fs::read_dir(it.path()));
        files.all(|mut it| it.next().is_none())
    };
    let deadline = tokio::time::Instant::now() + skerry_tests::PATIENCE;
    // Whoever comes after finds all of it gone.
    while !is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "a part is left");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    upload(&alice, PNG, "image/png").await;
    assert!(!is_empty(), "a file is looked for where there are none");
}
