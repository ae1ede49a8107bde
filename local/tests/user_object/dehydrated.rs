//! The dehydrated device: one batch, whatever fails, and nothing of it is lost by being left twice
//! (T16, S-C7).

use std::collections::BTreeMap;

use ruma::{events::room::member::MembershipState, room_id};
use serde_json::{Value as JsonValue, json};
use skerry::messages::user::{
    ClaimKeys, DehydratedDevice, DeliverToDevice, GetDehydratedDevice, GetDehydratedInbox,
    GetDeviceUpdates, RemoveDehydratedDevice, SetDehydratedDevice,
};
use skerry_core::device_keys::upload::{OneTimeKey, Upload};

use super::{
    account::a_membership,
    stand::{World, raw},
    to_device::message,
};
use crate::host::Fate;

const ALGORITHM: &str = "signed_curve25519";

fn left(device_id: &str, version: u64) -> SetDehydratedDevice {
    let keys = json!({ "keys": {}, "version": version });
    let key = |id: &str| OneTimeKey {
        algorithm: ALGORITHM.to_owned(),
        key_id: id.to_owned(),
        json: json!({ "key": id, "of": version }).to_string(),
    };
    SetDehydratedDevice {
        by: "D".into(),
        device: DehydratedDevice {
            device_id: device_id.into(),
            data: raw(&json!({ "algorithm": "some" })),
        },
        display_name: Some("waiting".to_owned()),
        upload: Upload {
            device_keys: Some(keys.to_string()),
            one_time_keys: vec![key("1"), key("2")],
            fallback_keys: vec![key("F")],
        },
        signed: raw(&keys),
    }
}

impl World {
    async fn send(&self, id: &str, device_id: &str) {
        let messages = vec![message(id, &[(device_id, json!({ "id": id }))])];
        self.ask(DeliverToDevice { messages }).await;
    }

    async fn dehydrated(&self) -> Option<String> {
        let found = self.ask(GetDehydratedDevice {}).await;
        found.map(|it| it.device_id.to_string())
    }

    async fn waiting_for(&self, device_id: &str) -> Vec<String> {
        let question = GetDehydratedInbox { device_id: device_id.into(), after: 0, limit: 100 };
        let page = self.ask(question).await;
        let id = |it: &skerry::messages::RawJson| {
            let event: JsonValue = serde_json::from_str(it.get()).unwrap();
            event["content"]["id"].as_str().unwrap().to_owned()
        };
        page.events.iter().map(id).collect()
    }

    async fn claimed(&self, device_id: &str) -> Option<String> {
        let devices = BTreeMap::from([(device_id.into(), ALGORITHM.to_owned())]);
        self.ask(ClaimKeys { devices }).await.into_values().next().map(|it| it.key_id)
    }

    /// What is stored of devices that are not logged in.
    async fn stored(&self) -> u64 {
        let mut sum = 0;
        for sql in [
            "SELECT count(*) FROM user_dehydrated_device",
            "SELECT count(*) FROM user_devices WHERE device_id != 'D'",
            "SELECT count(*) FROM user_device_keys WHERE json IS NOT NULL",
            "SELECT count(*) FROM user_one_time_keys",
            "SELECT count(*) FROM user_fallback_keys",
            "SELECT count(*) FROM user_to_device",
        ] {
            sum += self.count(sql).await;
        }
        sum
    }
}

#[tokio::test]
async fn a_device_is_left_wholly_or_not_at_all() {
    let world = World::registered().await;
    world.host.next_commit(Fate::Refused);
    world.try_ask(left("A", 1)).await.unwrap_err();
    assert_eq!((world.dehydrated().await, world.stored().await), (None, 0));
    world.ask(left("A", 1)).await;
    world.send("m", "A").await;
    for (fate, now) in [(Fate::Refused, "A"), (Fate::WrittenAndFailed, "B")] {
        world.host.next_commit(fate);
        world.try_ask(left("B", 2)).await.unwrap_err();
        assert_eq!(world.dehydrated().await.as_deref(), Some(now), "{fate:?}");
        let expected = if now == "A" { vec!["m"] } else { Vec::new() };
        assert_eq!(world.waiting_for(now).await, expected, "{fate:?}");
    }
    // The client, who was not answered, leaves it again.
    world.send("n", "B").await;
    assert_eq!(world.claimed("B").await.as_deref(), Some("1"));
    let world = world.restarted();
    world.ask(left("B", 2)).await;
    assert_eq!(world.waiting_for("B").await, ["n"]);
    assert_eq!(world.claimed("B").await.as_deref(), Some("2"));
    assert_eq!(world.claimed("A").await, None);
    // Another device of that name begins anew.
    world.ask(left("B", 3)).await;
    assert_eq!(world.waiting_for("B").await, [] as [&str; 0]);
    assert_eq!(world.claimed("B").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn nothing_stays_of_one_that_is_removed_and_others_are_told() {
    let world = World::registered().await;
    world.ask(a_membership(room_id!("!a:localhost"), MembershipState::Join, 1)).await;
    world.ask(left("A", 1)).await;
    world.send("m", "*").await;
    let sent = world.ask(GetDeviceUpdates { sent: None }).await.sent;
    world.drain().await;
    drop(world.rooms.asked());
    let removed = world.ask(RemoveDehydratedDevice { by: "D".into() }).await;
    assert_eq!(removed, Some("A".into()));
    world.drain().await;
    let told = world.rooms.asked();
    assert!(told.iter().any(|it| it.1["change_devices"].is_object()), "the room is told");
    // What waits for the device that is logged in.
    assert_eq!((world.dehydrated().await, world.stored().await), (None, 1));
    let updates = world.ask(GetDeviceUpdates { sent: Some(sent) }).await;
    let told: JsonValue = serde_json::from_str(updates.edus[0].get()).unwrap();
    assert_eq!(
        (&told["content"]["device_id"], &told["content"]["deleted"]),
        (&json!("A"), &json!(true))
    );
    assert_eq!(world.ask(RemoveDehydratedDevice { by: "D".into() }).await, None);
}
