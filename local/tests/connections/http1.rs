//! HTTP/1.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, sleep},
};

use super::house::{
    GET_LARGE, GET_LARGE_WITH_BODY, GET_WAIT, House, LARGE, WAIT, dribble, limits, read_to_end,
};

#[tokio::test]
async fn a_head_that_does_not_come_to_its_end_ends_the_connection() {
    let house = House::start(limits(), None).await;
    for begun in ["", "GET /qui", "GET /quick HTTP/1.1\r\nhost: a\r\nx-long: "] {
        let stream = house.sent(begun.as_bytes()).await;
        let (after, found) = dribble(stream, if begun.is_empty() { b"" } else { b"x" }).await;
        assert!(after >= limits().first_head, "{begun}: {after:?}");
        assert_eq!(found, b"", "{begun}");
    }
    assert!(house.serves().await);
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request_for_a_while() {
    let house = House::start(limits(), None).await;
    let mut stream = house.connect().await;
    for _ in 0..4 {
        stream.write_all(b"GET /quick HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut answer = vec![0; 512];
        let length = stream.read(&mut answer).await.unwrap();
        assert!(answer.get(..length).unwrap().ends_with(b"quick"));
        sleep(limits().idle / 2).await;
    }
    // The next head begins and does not end.
    let (_, found) = dribble(stream, b"G").await;
    assert_eq!(found, b"");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_no_request_to_wait_for() {
    let house = House::start(limits(), None).await;
    for (head, part) in [
        ("content-length: 1000000", &b""[..]),
        ("content-length: 1000000", b"x"),
        ("transfer-encoding: chunked", b""),
        ("transfer-encoding: chunked", b"1\r\nx\r\n"),
        ("content-length: 1000000\r\nexpect: 100-continue", b""),
    ] {
        let head = format!("POST /length HTTP/1.1\r\nhost: a\r\n{head}\r\n\r\n");
        let stream = house.sent(head.as_bytes()).await;
        let (after, found) = dribble(stream, part).await;
        assert!(after >= limits().body, "{head}: {after:?}");
        let found = String::from_utf8(found).unwrap();
        assert!(found.contains("HTTP/1.1 400"), "{head}: {found}");
    }
    assert!(house.serves().await);
}

/// Where something is left to read, closing a connection throws away what was written to it.
#[tokio::test]
async fn an_answer_is_whole_whether_or_not_the_body_was_wanted() {
    let house = House::start(limits(), None).await;
    for chunks in [1, 40] {
        let mut stream = house.sent(GET_LARGE_WITH_BODY).await;
        let (mut reading, mut writing) = stream.split();
        let part = vec![b'x'; 4_000_000 / chunks];
        let send = async {
            for _ in 0..chunks {
                writing.write_all(&part).await.unwrap();
                sleep(Duration::from_millis(1)).await;
            }
        };
        let (found, ()) = tokio::join!(read_to_end(&mut reading), send);
        assert!(found.len() > LARGE, "{} bytes", found.len());
    }
}

#[tokio::test]
async fn a_body_that_nobody_wants_and_that_does_not_come_ends_the_connection() {
    let house = House::start(limits(), None).await;
    let head = "GET /quick HTTP/1.1\r\nhost: a\r\ncontent-length: 4000000\r\n\r\n";
    let stream = house.sent(head.as_bytes()).await;
    let (after, found) = dribble(stream, b"").await;
    assert!(after < limits().body * 4, "{after:?}");
    assert!(found.ends_with(b"quick"), "the answer does not wait for it");
    // Nor is it read for ever.
    let mut head = head.replace("4000000", "40000000000").into_bytes();
    head.resize(head.len() + 1_000_000, b'x');
    let (_, found) = dribble(house.sent(&head).await, &vec![b'x'; 1_000_000]).await;
    assert!(found.ends_with(b"quick"));
}

#[tokio::test]
async fn a_body_earns_its_time_by_its_bytes() {
    // Each part earns more than the pause before the next.
    let limits = skerry_local::serve::Limits { bytes_per_second: 1_000, ..limits() };
    let house = House::start(limits.clone(), None).await;
    let head =
        b"POST /length HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 3000\r\n\r\n";
    let mut stream = house.sent(head).await;
    let began = Instant::now();
    for _ in 0..10 {
        stream.write_all(&[b'x'; 300]).await.unwrap();
        sleep(Duration::from_millis(100)).await;
    }
    assert!(began.elapsed() > limits.body);
    assert!(read_to_end(&mut stream).await.ends_with(b"3000"));
}

#[tokio::test]
async fn a_request_that_is_complete_may_wait_for_its_answer() {
    let house = House::start(limits(), None).await;
    let began = Instant::now();
    let mut stream = house.sent(GET_WAIT).await;
    assert!(read_to_end(&mut stream).await.ends_with(b"waited"));
    assert!(began.elapsed() >= WAIT);
}

#[tokio::test]
async fn a_request_does_not_wait_for_ever() {
    let limits = skerry_local::serve::Limits { request: WAIT / 4, ..limits() };
    let house = House::start(limits, None).await;
    let mut stream = house.sent(GET_WAIT).await;
    assert_eq!(read_to_end(&mut stream).await, b"");
}

#[tokio::test]
async fn an_answer_that_nobody_takes_ends_the_connection() {
    let house = House::start(limits(), None).await;
    let get_large = b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut stream = house.sent(get_large).await;
    sleep(limits().write * 4).await;
    assert!(read_to_end(&mut stream).await.len() < LARGE);
    // Who takes it gets it.
    let mut stream = house.sent(GET_LARGE).await;
    assert!(read_to_end(&mut stream).await.len() > LARGE);
}

#[tokio::test]
async fn an_answer_that_is_taken_byte_by_byte_ends_the_connection() {
    let limits = skerry_local::serve::Limits { bytes_per_second: 100 << 20, ..limits() };
    let house = House::start(limits, None).await;
    let mut stream = house.sent(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut taken = 0;
    let mut some = vec![0; 100_000];
    while let Ok(length @ 1..) = stream.read(&mut some).await {
        taken += length;
        sleep(Duration::from_millis(20)).await;
    }
    assert!(taken < LARGE, "all of it was given");
}
