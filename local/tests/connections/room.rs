//! Room for new clients.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use skerry_local::serve::Limits;
use tokio::io::AsyncReadExt as _;

use super::house::{GET_LARGE, GET_PAGE, GET_WAIT, House, LARGE, PAGE, limits, read_to_end};

/// A body that does not come.
const HALF_BODY: &[u8] = b"POST /length HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nx";

/// Nothing ends by its time.
fn patient() -> Limits {
    let long = Duration::from_mins(1);
    Limits { first_head: long, idle: long, body: long, answer: long, write: long, ..limits() }
}

#[tokio::test]
async fn those_that_wait_for_their_clients_make_room_for_new_ones() {
    let limits = Limits { connections: 10, kept_free: 2, ..patient() };
    let house = House::start(limits, None).await;
    let mut working = Vec::new();
    for _ in 0..3 {
        working.push(house.sent(GET_WAIT).await);
    }
    house.works_on(3).await;
    let mut held = Vec::new();
    for part in [b"", &b"GET /qu"[..], HALF_BODY] {
        for _ in 0..20 {
            held.push(house.sent(part).await);
        }
        assert!(house.serves().await, "{:?}", String::from_utf8_lossy(part));
    }
    for mut stream in working {
        assert!(read_to_end(&mut stream).await.ends_with(b"waited"));
    }
}

#[tokio::test]
async fn requests_that_are_worked_on_are_not_given_up_for_new_clients() {
    let limits = Limits { connections: 4, kept_free: 2, ..patient() };
    let house = House::start(limits, None).await;
    let mut working = Vec::new();
    for count in 1..=4 {
        working.push(house.sent(GET_WAIT).await);
        house.works_on(count).await;
    }
    assert!(!house.serves().await, "more than there may be");
    for mut stream in working {
        assert!(read_to_end(&mut stream).await.ends_with(b"waited"));
    }
    assert!(house.serves().await);
}

#[tokio::test]
async fn one_address_has_a_bounded_number_of_connections() {
    let limits = Limits { per_address: 3, exempt: Arc::new(|_| false), ..patient() };
    let house = House::start(limits, None).await;
    let mut working = Vec::new();
    for _ in 0..2 {
        working.push(house.sent(GET_WAIT).await);
    }
    house.works_on(2).await;
    // The one that does nothing makes room for the next from there.
    let mut idle = house.connect().await;
    let mut third = house.sent(GET_WAIT).await;
    assert_eq!(read_to_end(&mut idle).await, b"");
    house.works_on(3).await;
    assert!(!house.serves().await, "a fourth");
    for mut stream in working {
        assert!(read_to_end(&mut stream).await.ends_with(b"waited"));
    }
    assert!(read_to_end(&mut third).await.ends_with(b"waited"));
    assert!(house.serves().await);
}

#[tokio::test]
async fn a_proxy_may_have_any_number_of_connections() {
    let proxy = IpAddr::from(Ipv4Addr::LOCALHOST);
    let exempt = Arc::new(move |address| address == proxy);
    let house = House::start(Limits { per_address: 1, exempt, ..patient() }, None).await;
    let mut working = Vec::new();
    for _ in 0..8 {
        working.push(house.sent(GET_WAIT).await);
    }
    house.works_on(8).await;
    for mut stream in working {
        assert!(read_to_end(&mut stream).await.ends_with(b"waited"));
    }
}

#[tokio::test]
async fn who_takes_their_answers_is_not_closed_for_those_who_do_not() {
    let large = u64::try_from(LARGE).unwrap();
    let house = House::start(Limits { answers_bytes: 3 * large, ..patient() }, None).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(house.sent(GET_LARGE).await);
        // The answer has begun.
        held.last_mut().unwrap().read_u8().await.unwrap();
    }
    for _ in 0..2 {
        let mut stream = house.sent(GET_LARGE).await;
        assert!(read_to_end(&mut stream).await.len() > LARGE, "it is being taken");
    }
    let mut ended = Vec::new();
    for mut stream in held {
        ended.push(read_to_end(&mut stream).await.len() < LARGE);
    }
    assert_eq!(ended, [true, false, false], "one had to go, the one that waited longest");
    assert!(house.serves().await);
}

/// What the system has taken of an answer and the network has not is in memory all the same: it
/// takes little, so that the rest counts.
#[cfg(any(target_os = "android", target_os = "linux"))]
#[tokio::test]
async fn an_answer_that_is_not_taken_does_not_hide_in_the_system() {
    let page = u64::try_from(PAGE).unwrap();
    let house = House::start(Limits { answers_bytes: 2 * page, ..patient() }, None).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(house.sent_by_slow(GET_PAGE).await);
        held.last_mut().unwrap().read_u8().await.unwrap();
    }
    let mut ended = Vec::new();
    for mut stream in held {
        ended.push(read_to_end(&mut stream).await.len() < PAGE);
    }
    assert_eq!(ended, [true, true, false, false], "there is room for two");
}
