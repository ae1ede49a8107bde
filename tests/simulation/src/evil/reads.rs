//! What the server asks that it may not know.

use serde_json::{Value, json};
use skerry_tests::path;

use super::{Evil, attacks::Victims};
use crate::log;

const V1: &str = "/_matrix/federation/v1";

impl Evil {
    /// Notes where something was not refused that had to be. No answer is none, and neither is that
    /// of a server which cannot answer, or which could not have the keys of whoever asks.
    pub(super) fn is_refused(&self, answer: Option<(u16, Value)>, by: &[u16], what: &str) -> bool {
        let Some((status, body)) = answer else { return false };
        if by.contains(&status) {
            self.tally.count("refusals");
            return true;
        }
        if status < 500 && status != 401 {
            log::fault(format!("{what}: {status} {body}"));
        }
        false
    }

    /// Asks all that can be asked about a room in which its user never was.
    pub(super) async fn spy(&self, victims: &Victims, room_id: &str) {
        let Some(host) = self.pick(&victims.hosts).cloned() else { return };
        if self.state().tried.contains(room_id) {
            return;
        }
        let event = self.state().rooms.values().next().and_then(|it| it.ends.first().cloned());
        let event = event.unwrap_or_else(|| "$some".to_owned());
        let at = |name: &str| format!("{V1}/{name}{}", path([room_id]));
        let event_query = format!("event_id={}", skerry_tests::encode(&event));
        let mut questions = vec![
            ("GET", format!("{}?{event_query}", at("state")), None),
            ("GET", format!("{}?{event_query}", at("state_ids")), None),
            ("GET", format!("{}?v={}&limit=10", at("backfill"), &event_query[9..]), None),
            ("GET", format!("{V1}/event_auth{}", path([room_id, &event])), None),
            ("GET", format!("{}?ts=1&dir=f", at("timestamp_to_event")), None),
        ];
        let missing = json!({ "earliest_events": [], "latest_events": [event], "limit": 10 });
        questions.push(("POST", at("get_missing_events"), Some(missing)));
        for (method, target, body) in questions {
            // It may have come in meanwhile.
            let answer = self.ask(&host, method, &target, body.as_ref()).await;
            if self.state().tried.contains(room_id) {
                return;
            }
            if self.is_refused(answer, &[403, 404], &format!("{method} {target}")) {
                self.tally.count("reads of an outsider");
            }
        }
    }

    /// Asks for events of a room in which its user never was, by their IDs.
    pub async fn ask_for(&self, host: &str, event_ids: &[String]) {
        for event_id in event_ids {
            let target = format!("{V1}/event{}", path([event_id]));
            let answer = self.ask(host, "GET", &target, None).await;
            if self.is_refused(answer, &[403, 404], &target) {
                self.tally.count("reads of an outsider");
            }
        }
    }
}
