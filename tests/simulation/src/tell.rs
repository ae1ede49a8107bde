//! Tells what servers know of rooms, to whoever replays a seed with `SKERRY_TELL`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{inspect, log, world::World};

const VERDICTS: [&str; 3] = ["", "SOFT-FAILED", "REJECTED"];

impl World {
    /// Tells all of it: events by short numbers, which are the same on all servers.
    pub async fn tell_rooms(&self) {
        if !log::is_told() {
            return;
        }
        let mut short = BTreeMap::<String, usize>::new();
        for room in &self.rooms {
            println!("==== {} version {}", room.id, room.version);
            for server in &self.servers {
                let extremities = inspect::extremities(&server.database, &room.id).await;
                println!("== {} extremities {extremities:?}", server.name);
                for event in inspect::events(&server.database, &room.id).await {
                    let json: Value = serde_json::from_str(&event.json).expect("JSON");
                    let mut name = |id: &str| {
                        let next = short.len();
                        *short.entry(id.to_owned()).or_insert(next)
                    };
                    let own = name(&event.id);
                    let mut names = |field: &str| -> Vec<usize> {
                        let ids = json[field].as_array().into_iter().flatten();
                        ids.filter_map(Value::as_str).map(&mut name).collect()
                    };
                    let (prev, auth) = (names("prev_events"), names("auth_events"));
                    let content: String = json["content"].to_string().chars().take(110).collect();
                    println!(
                        "{own:3} @{} {} {}{}{} {} {} {} {content} prev {prev:?} auth {auth:?} {}",
                        event.position,
                        json["origin_server_ts"].as_u64().unwrap_or(0) % 100_000_000,
                        VERDICTS[usize::try_from(event.verdict).unwrap_or(0)],
                        if event.is_outlier { " OUTLIER" } else { "" },
                        if event.is_redacted { " redacted" } else { "" },
                        json["sender"].as_str().unwrap_or_default(),
                        json["type"].as_str().unwrap_or_default(),
                        json["state_key"],
                        event.id,
                    );
                }
                let state = inspect::state(&server.database, &room.id).await;
                let state: Vec<_> = state.values().map(|it| short.get(it)).collect();
                println!("state {state:?}");
                println!("gaps {:?}", inspect::gaps(&server.database, &room.id).await);
                for it in inspect::pending(&server.database, &server.name).await {
                    println!("{} waits for {}", it.event_id, it.awaited);
                }
            }
        }
    }
}
