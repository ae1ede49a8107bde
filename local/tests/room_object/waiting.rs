//! Events that wait for others: what a crash and a long silence leave of the asking.

use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::json;
use skerry::{
    messages::room::Outcome,
    ports::{
        Http,
        http::{HttpError, Request, Response},
    },
};
use skerry_core::Pdu;

use crate::{
    room::Stand,
    room_object::peer_room::{PeerRoom, THIRD, keys, own_server, raw, user},
};

const WEEK_MS: u64 = 7 * 24 * 60 * 60 * 1_000;

/// A server that gives these events as those that were missed, and says nothing else.
struct Gives {
    events: Vec<String>,
    asked: Mutex<Vec<String>>,
}

impl Gives {
    fn these(pdus: &[&Pdu]) -> &'static Self {
        let events = pdus.iter().map(|it| raw(it).get().to_owned()).collect();
        Box::leak(Box::new(Self { events, asked: Mutex::default() }))
    }

    /// The paths that it was asked.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Http for Gives {
    async fn send(&self, request: Request) -> Result<Response, HttpError> {
        let path = request.url.path().to_owned();
        let (status, body) = match path.contains("get_missing_events") {
            true => (StatusCode::OK, format!(r#"{{"events":[{}]}}"#, self.events.join(","))),
            false => {
                let unknown = json!({ "errcode": "M_NOT_FOUND", "error": "unknown" });
                (StatusCode::NOT_FOUND, unknown.to_string())
            }
        };
        self.asked.lock().unwrap().push(path);
        let body = Box::pin(futures_util::stream::iter([Ok(Bytes::from(body))]));
        Ok(Response { status, headers: HeaderMap::new(), body })
    }
}

/// A room in which an event waits for another one, and both.
async fn waiting() -> (Stand, Pdu, Pdu) {
    let mut peer = PeerRoom::small();
    let stand = Stand::empty(own_server(), &peer.create.room_id).await;
    stand.users.have_keys(keys());
    stand.alice_joins(&mut peer).await;
    // Of a server whose name says where it is: nobody is asked for that.
    let dave = user("dave", THIRD);
    let join = json!({ "membership": "join" });
    let join = peer.add(&dave, "m.room.member", Some(dave.as_str()), join);
    assert_eq!(stand.receive(&join).await, Outcome::Accepted { redacted: false });
    let missed = peer.add(&dave, "m.room.message", None, json!({ "body": "missed" }));
    let waits = peer.add(&dave, "m.room.message", None, json!({ "body": "waits" }));
    assert!(matches!(stand.receive(&waits).await, Outcome::Waits { .. }));
    assert_eq!(stand.host.count("room_pending").await, 1);
    (stand, missed, waits)
}

/// The process died before it had asked anybody, and is started again after a week in which nobody
/// has said anything.
#[tokio::test]
async fn what_waits_is_asked_for_after_a_crash_and_a_silent_week() {
    let (mut stand, missed, waits) = waiting().await;
    stand.crash();
    stand.host.pass(WEEK_MS);
    let server = Gives::these(&[&missed]);
    stand.host.asks(server);
    stand.alarm().await.expect("an alarm: what waits is on the agenda");
    assert!(server.asked().iter().any(|it| it.contains("get_missing_events")));
    assert_eq!(stand.host.count("room_pending").await, 0, "{:?}", server.asked());
    assert_eq!(stand.receive(&waits).await, Outcome::Known);
    assert!(!stand.agenda().await.contains(&"missing".to_owned()), "{:?}", stand.agenda().await);
}

/// Nobody answers, and the process dies now and then: it is asked for again, ever less often, and
/// for as long as it is kept.
#[tokio::test]
async fn what_waits_is_asked_for_as_long_as_nobody_answers() {
    let (mut stand, missed, waits) = waiting().await;
    let away = Gives::these(&[]);
    stand.host.asks(away);
    let (mut passed_ms, mut rounds) = (0, 0);
    while passed_ms < WEEK_MS {
        passed_ms += stand.alarm().await.expect("an alarm, as long as something waits");
        rounds += 1;
        if rounds % 7 == 0 {
            stand.crash();
        }
    }
    let asked = away.asked().len();
    // After the first hours about once an hour.
    assert!((100..2_000).contains(&asked), "{asked} times in {rounds} rounds");
    assert_eq!(stand.host.count("room_pending").await, 1);
    stand.host.asks(Gives::these(&[&missed]));
    for _ in 0..3 {
        stand.alarm().await;
    }
    assert_eq!(stand.receive(&waits).await, Outcome::Known);
}
