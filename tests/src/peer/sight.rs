//! What a user sees of an event, by every endpoint that could show it.

use crate::{Room, User, Value, events, ids, json, path};
use std::collections::BTreeMap;

/// State by type and state key: event IDs.
pub type StateIds = BTreeMap<(String, String), String>;

impl User {
    /// Asserts that nothing shows an event.
    pub async fn is_not_shown(&self, room: &str, event: &str) {
        self.event(room, event).refused(404, "M_NOT_FOUND").await;
        self.get(path(["rooms", room, "context", event])).refused(404, "M_NOT_FOUND").await;
        let filter = json!({ "room": { "rooms": [room], "timeline": { "limit": 100 } } });
        for request in [
            self.messages(room, "b").query("limit", 100),
            self.messages(room, "f").query("limit", 100),
            self.get(path(["rooms", room, "state"])),
            self.get(path(["rooms", room, "members"])),
            self.sync().filter(&filter).request(),
        ] {
            let reply = request.send().await;
            assert_eq!(reply.status, 200, "{reply}");
            assert!(!reply.text.contains(event), "{event} is shown: {reply}");
        }
    }

    /// Asserts that an event is shown, with this content.
    pub async fn is_shown(&self, room: &str, event: &str, content: &Value) {
        let shown = self.event(room, event).ok().await;
        assert_eq!(shown["content"], *content, "{shown}");
        let history = self.history(room).await;
        assert!(ids(&history).contains(&event), "{event} is not in {history:?}");
    }

    /// The IDs of a room's events as `/messages` pages them forward, from one of them on.
    pub async fn history_from(&self, room: &str, first: &str) -> Vec<String> {
        let history = self.history(room).await;
        let all = ids(&history).into_iter().map(str::to_owned);
        all.skip_while(|it| it != first).collect()
    }

    /// The current state as `/state` has it.
    pub async fn state_ids(&self, room: &str) -> StateIds {
        by_key(&self.all_state(room).await)
    }

    /// Bans a user of any server.
    pub async fn ban(&self, room: &str, user: &str) -> Value {
        let body = json!({ "user_id": user });
        self.post(path(["rooms", room, "ban"])).json(&body).ok().await
    }

    /// Changes the power levels of users of any server, and tells the event's ID.
    pub async fn give_powers(&self, room: &str, users: &[(&str, i64)]) -> String {
        let mut levels = self.state(room, "m.room.power_levels", "").ok().await;
        for (user, level) in users {
            levels["users"][user] = json!(level);
        }
        self.set_state(room, "m.room.power_levels", "", &levels).await
    }

    /// The membership of a user of any server, or nothing.
    pub async fn membership_in(&self, room: &str, user: &str) -> String {
        let member = self.state(room, "m.room.member", user).send().await;
        member.json["membership"].as_str().unwrap_or_default().to_owned()
    }

    /// The IDs of joined members, in order.
    pub async fn joined_members(&self, room: &str) -> Vec<String> {
        let joined = self.get(path(["rooms", room, "joined_members"])).ok().await;
        joined["joined"].as_object().expect("members").keys().cloned().collect()
    }
}

impl Room<'_> {
    /// The state that a client ends up with that knew `before`: what came before the timeline, then
    /// the timeline.
    pub fn leads_to(self, before: StateIds) -> StateIds {
        let mut state = before;
        state.extend(by_key(self.state()));
        state.extend(by_key(events(&self.0["timeline"])));
        state
    }
}

/// State events by their keys; others are left out.
fn by_key(events: &[Value]) -> StateIds {
    let text = |event: &Value, field: &str| event[field].as_str().expect("a string").to_owned();
    let state = events.iter().filter(|it| it["state_key"].is_string());
    state.map(|it| ((text(it, "type"), text(it, "state_key")), text(it, "event_id"))).collect()
}
