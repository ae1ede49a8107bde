//! Media over the router, a real database and real files, on a clock that the test moves: what is
//! removed when nobody wants it any more.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and indexing JSON cannot panic"
)]

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, StatusCode, header};
use serde_json::Value;
use skerry::{
    ports::{BlobName, Stmt},
    store::global::media::{self, Content, Quota, Stored},
};
use skerry_core::media::{MediaLimits, Mxc};

use self::sessions::house::House;

mod sessions {
    #[expect(dead_code, reason = "the tests of sessions use all of it")]
    pub(crate) mod house;
}

const HOUR_MS: u64 = 60 * 60 * 1_000;
const DAY_MS: u64 = 24 * HOUR_MS;
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// A server with a user, whose access token this is.
async fn house() -> (House, String) {
    let house = House::open().await;
    let session = house.register("alice").await;
    (house, session["access_token"].as_str().unwrap().to_owned())
}

/// Asks an endpoint of files.
async fn ask(
    (house, token): &(House, String),
    method: Method,
    path: &str,
    bytes: &'static [u8],
) -> (StatusCode, Bytes) {
    let mut request = Request::new(Body::from(bytes));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap();
    let value = format!("Bearer {token}").parse().unwrap();
    request.headers_mut().insert(header::AUTHORIZATION, value);
    request.extensions_mut().insert(house.cx.clone());
    let response = tower::ServiceExt::oneshot(house.router.clone(), request).await.unwrap();
    let status = response.status();
    (status, axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap())
}

fn mxc_in(answer: &[u8]) -> Mxc {
    let json: Value = serde_json::from_slice(answer).unwrap();
    let uri = json["content_uri"].as_str().unwrap().strip_prefix("mxc://").unwrap();
    let (server, id) = uri.split_once('/').unwrap();
    Mxc::new(server.try_into().unwrap(), id.to_owned()).unwrap()
}

async fn upload(house: &(House, String), bytes: &'static [u8]) -> Mxc {
    let (status, answer) = ask(house, Method::POST, "/_matrix/media/v3/upload", bytes).await;
    assert_eq!(status, StatusCode::OK);
    mxc_in(&answer)
}

async fn download(house: &(House, String), mxc: &Mxc) -> (StatusCode, Bytes) {
    let Mxc { server_name, media_id } = mxc;
    let path = format!("/_matrix/client/v1/media/download/{server_name}/{media_id}?timeout_ms=0");
    ask(house, Method::GET, &path, b"").await
}

async fn is_there((house, _): &(House, String), blob: &BlobName) -> bool {
    house.cx.ports.blobs.get(blob, 0..1).await.unwrap().is_some()
}

async fn stored((house, _): &(House, String), mxc: &Mxc) -> Option<Stored> {
    match media::find(&*house.cx.ports.global, mxc).await.unwrap()?.content {
        Content::Stored(stored) => Some(*stored),
        Content::Awaited(_) => None,
    }
}

/// Stores bytes as an upload does, up to where a crash may leave them.
async fn store_unnamed((house, _): &(House, String)) -> BlobName {
    let ports = &house.cx.ports;
    let blob = BlobName::random(&*ports.random).unwrap();
    let note = media::insert_unnamed(&blob, ports.clock.now_ms() + DAY_MS);
    ports.global.batch(vec![note]).await.unwrap();
    let bytes = stream::iter([Ok(Bytes::from_static(PNG))]);
    ports.blobs.put(&blob, Box::pin(bytes)).await.unwrap();
    blob
}

#[tokio::test]
async fn bytes_that_no_row_names_are_removed_by_the_next_upload_after_a_day() {
    let house = house().await;
    let blob = store_unnamed(&house).await;
    for (hours, is_left) in [(1, true), (23, true), (2, false)] {
        house.0.pass(hours * HOUR_MS);
        upload(&house, PNG).await;
        assert_eq!(is_there(&house, &blob).await, is_left, "after {hours} hours more");
    }
    let count = Stmt::new("SELECT count(*) FROM unnamed_blobs");
    let mut row = house.0.cx.ports.global.row(count).await.unwrap().unwrap();
    assert_eq!(row.take::<u64>(0).unwrap(), 0, "no upload leaves a note");
}

#[tokio::test]
async fn bytes_that_were_removed_meanwhile_are_not_named() {
    let house = house().await;
    let blob = store_unnamed(&house).await;
    house.0.pass(DAY_MS);
    let mxc = Mxc::new("example.org".try_into().unwrap(), "late".to_owned()).unwrap();
    let now_ms = house.0.cx.ports.clock.now_ms();
    let late = Stored {
        blob,
        content_type: "image/png".to_owned(),
        file_name: None,
        may_be_shown: true,
        size_bytes: 8,
        sha256: String::new(),
        stored_at_ms: now_ms,
        read_at_ms: now_ms,
    };
    let batch = media::name_blob(&mxc, None, &late, Quota::none());
    let named = house.0.cx.ports.global.batch(batch.into()).await.unwrap();
    assert!(named[0].is_empty());
    assert_eq!(stored(&house, &mxc).await, None);
}

#[tokio::test]
async fn what_nothing_was_uploaded_to_ends_after_a_day() {
    let house = house().await;
    let (status, created) = ask(&house, Method::POST, "/_matrix/media/v1/create", b"{}").await;
    assert_eq!(status, StatusCode::OK);
    let mxc = mxc_in(&created);
    assert_eq!(download(&house, &mxc).await.0, StatusCode::GATEWAY_TIMEOUT);
    house.0.pass(DAY_MS);
    assert_eq!(download(&house, &mxc).await.0, StatusCode::NOT_FOUND);
    let path = format!("/_matrix/media/v3/upload/{}/{}", mxc.server_name, mxc.media_id);
    assert_eq!(ask(&house, Method::PUT, &path, PNG).await.0, StatusCode::NOT_FOUND);
    house.0.pass(2 * HOUR_MS);
    upload(&house, PNG).await;
    let found = media::find(&*house.0.cx.ports.global, &mxc).await.unwrap();
    assert_eq!(found, None, "the next upload removes the row");
}

#[tokio::test]
async fn media_of_other_servers_is_kept_for_some_days() {
    let house = house().await;
    let mxc = Mxc::new("other.example".try_into().unwrap(), "theirs".to_owned()).unwrap();
    let blob = store_unnamed(&house).await;
    let now_ms = house.0.cx.ports.clock.now_ms();
    let theirs = Stored {
        blob: blob.clone(),
        content_type: "image/png".to_owned(),
        file_name: None,
        may_be_shown: true,
        size_bytes: 8,
        sha256: "00".to_owned(),
        stored_at_ms: now_ms,
        read_at_ms: now_ms,
    };
    let batch = media::name_blob(&mxc, None, &theirs, Quota::none());
    house.0.cx.ports.global.batch(batch.into()).await.unwrap();
    let kept_ms = MediaLimits::default().remote_age_ms;
    house.0.pass(kept_ms - HOUR_MS);
    upload(&house, PNG).await;
    assert_eq!(download(&house, &mxc).await, (StatusCode::OK, Bytes::from_static(PNG)));
    house.0.pass(2 * HOUR_MS);
    let own = upload(&house, PNG).await;
    assert_eq!(stored(&house, &mxc).await, None);
    assert!(is_there(&house, &blob).await, "somebody may be reading it");
    house.0.pass(2 * HOUR_MS);
    upload(&house, PNG).await;
    assert!(!is_there(&house, &blob).await);
    // Nobody is there to be asked again.
    assert_eq!(download(&house, &mxc).await.0, StatusCode::BAD_GATEWAY);
    // What was uploaded here stays.
    house.0.pass(100 * kept_ms);
    upload(&house, PNG).await;
    assert_eq!(download(&house, &own).await, (StatusCode::OK, Bytes::from_static(PNG)));
}

#[tokio::test]
async fn that_media_is_read_is_noted_once_a_day() {
    let house = house().await;
    let mxc = upload(&house, PNG).await;
    let first_ms = stored(&house, &mxc).await.unwrap().read_at_ms;
    for (hours, expected) in [(1, 0), (22, 0), (2, 25), (10, 25), (15, 50)] {
        house.0.pass(hours * HOUR_MS);
        download(&house, &mxc).await;
        let read_ms = stored(&house, &mxc).await.unwrap().read_at_ms;
        assert_eq!((read_ms - first_ms) / HOUR_MS, expected, "{hours} hours later");
    }
}
