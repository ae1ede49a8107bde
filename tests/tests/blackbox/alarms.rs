//! Alarms: what an object has to do later is done, whatever fails meanwhile.

use skerry_tests::{Client, Server, User, json};
use std::time::Duration;

both_hosts![an_alarm_that_fails_comes_again];

/// More than the platform tries by itself.
const FAILURES: u64 = 9;

/// The alarm after a commit comes in eight seconds; there is time for slow machines.
const LOOKS: usize = 300;

async fn an_alarm_that_fails_comes_again(server: &Server) {
    let (alice, host) = (User::register(server, "alice").await, Client::new(server.url()));
    let room = alice.create_room(&json!({})).await;
    host.post(format!("/_skerry/test/alarm/{room}/{FAILURES}")).ok().await;
    alice.say(&room, "what is to be delivered").await;
    let mut alarms = json!({});
    for _ in 0..LOOKS {
        alarms = host.get(format!("/_skerry/test/alarm/{room}")).ok().await;
        if alarms["succeeded"].as_u64() > Some(0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(alarms["succeeded"].as_u64() > Some(0), "{alarms}");
    assert_eq!(alarms["failed"], FAILURES, "{alarms}");
}
