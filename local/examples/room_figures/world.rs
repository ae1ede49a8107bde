//! A room of other servers.

use ruma::{EventId, RoomId, UserId};
use serde_json::{Value as JsonValue, json};
use skerry::ports::{Row, Sql as _, Stmt};
use skerry_core::Pdu;

use crate::{
    peers::{self, Draft, Peers},
    stand::Stand,
};

const MEMBER: &str = "m.room.member";
const LEVELS: &str = "m.room.power_levels";
const RULES: &str = "m.room.join_rules";

/// What other events of the room build on.
pub(crate) struct World {
    pub(crate) create: Pdu,
    /// The creator's join.
    pub(crate) founder: Pdu,
    pub(crate) levels: Pdu,
    pub(crate) rules: Pdu,
    /// The newest event.
    pub(crate) tip: Pdu,
}

impl World {
    /// A room as it begins; and the events that began it: the state, and what is only part of its
    /// auth chain.
    pub(crate) fn found(peers: &Peers) -> (Self, Vec<Pdu>, Vec<Pdu>) {
        let creator = peers::user(0);
        let create = peers.create(&creator);
        let event = |kind, content, auth: &[&Pdu], prev: &Pdu| {
            let draft = Draft { sender: &creator, kind, content, auth: auth.to_vec() };
            peers.event(&create.room_id, draft, &[prev])
        };
        let join = (MEMBER, Some(creator.as_str()));
        let founder = event(join, profile("Founder"), &[], &create);
        let old_levels = event((LEVELS, Some("")), json!({}), &[&founder], &founder);
        let invite = json!({ "join_rule": "invite" });
        let old_rules = event((RULES, Some("")), invite, &[&founder, &old_levels], &old_levels);
        let auth = [&founder, &old_levels];
        let levels = event((LEVELS, Some("")), json!({ "invite": 0 }), &auth, &old_rules);
        let auth = [&founder, &levels];
        let rules = event((RULES, Some("")), json!({ "join_rule": "public" }), &auth, &levels);
        let shared = json!({ "history_visibility": "shared" });
        let visibility = event(("m.room.history_visibility", Some("")), shared, &auth, &rules);
        let tip = visibility.clone();
        let state =
            vec![create.clone(), founder.clone(), levels.clone(), rules.clone(), visibility];
        (Self { create, founder, levels, rules, tip }, state, vec![old_levels, old_rules])
    }

    /// The room as the store has it.
    pub(crate) async fn read(stand: &Stand) -> Self {
        let newest = "SELECT event_id, json FROM room_events WHERE verdict = 0 \
                      AND state_chain IS NOT NULL ORDER BY num DESC LIMIT 1";
        let create = current(stand, "m.room.create", "").await;
        let founder = current(stand, MEMBER, create.sender.as_str()).await;
        let tip = stand.rows(newest).await.into_iter().next().map(pdu).expect("an event");
        let levels = current(stand, LEVELS, "").await;
        Self { levels, rules: current(stand, RULES, "").await, create, founder, tip }
    }

    /// Members who are joined, and are not the creator.
    pub(crate) async fn members(&self, stand: &Stand, from: u64, count: u64) -> Vec<Pdu> {
        let mut members = Vec::new();
        for number in 1 + from..1 + from + count {
            members.push(current(stand, MEMBER, peers::user(number).as_str()).await);
        }
        members
    }

    /// The join of a new member.
    pub(crate) fn join(&self, user_id: &UserId, name: &str, prev: &Pdu, peers: &Peers) -> Pdu {
        let auth = vec![&self.levels, &self.rules];
        self.event(user_id, (MEMBER, Some(user_id.as_str())), profile(name), auth, (prev, peers))
    }

    /// A member has another name.
    pub(crate) fn rename(&self, member: &Pdu, name: &str, prev: &Pdu, peers: &Peers) -> Pdu {
        let kind = (MEMBER, member.state_key.as_deref());
        let auth = vec![&self.levels, &self.rules, member];
        self.event(&member.sender, kind, profile(name), auth, (prev, peers))
    }

    /// The creator removes a member.
    pub(crate) fn kick(&self, member: &Pdu, prev: &Pdu, peers: &Peers) -> Pdu {
        let kind = (MEMBER, member.state_key.as_deref());
        let auth = vec![&self.levels, &self.founder, member];
        let content = json!({ "membership": "leave" });
        self.event(&self.founder.sender, kind, content, auth, (prev, peers))
    }

    /// The creator changes the power levels.
    pub(crate) fn empower(&self, member: &Pdu, level: u8, prev: &Pdu, peers: &Peers) -> Pdu {
        let auth = vec![&self.levels, &self.founder];
        let content = json!({ "invite": 0, "users": { member.sender.as_str(): level } });
        self.event(&self.founder.sender, (LEVELS, Some("")), content, auth, (prev, peers))
    }

    /// The creator says something, after these events.
    pub(crate) fn message(&self, prev: &[&Pdu], peers: &Peers) -> Pdu {
        let auth = vec![&self.levels, &self.founder];
        let content = json!({ "msgtype": "m.text", "body": "A message of ordinary length." });
        let sender = &self.founder.sender;
        let draft = Draft { sender, kind: ("m.room.message", None), content, auth };
        peers.event(&self.create.room_id, draft, prev)
    }

    fn event(
        &self,
        sender: &UserId,
        kind: (&str, Option<&str>),
        content: JsonValue,
        auth: Vec<&Pdu>,
        (prev, peers): (&Pdu, &Peers),
    ) -> Pdu {
        peers.event(&self.create.room_id, Draft { sender, kind, content, auth }, &[prev])
    }
}

/// The content of a join.
fn profile(name: &str) -> JsonValue {
    json!({
        "membership": "join",
        "displayname": name,
        "avatar_url": "mxc://server.example/AbCdEfGhIjKlMnOpQrStUvWx",
    })
}

/// The event that the current state has for a key.
async fn current(stand: &Stand, event_type: &str, state_key: &str) -> Pdu {
    let stmt = Stmt::new(
        "SELECT e.event_id, e.json FROM room_state_deltas d JOIN room_events e \
         ON e.scope = d.scope AND e.num = d.event WHERE d.scope = 1 AND d.chain = 0 \
         AND d.type = ? AND d.state_key = ? ORDER BY d.state_group DESC LIMIT 1",
    );
    let stmt = stmt.bind(event_type).bind(state_key);
    let rows = stand.sql.rows(stmt).await.expect("rows");
    rows.into_iter().next().map(pdu).expect("a state event")
}

fn pdu(mut row: Row) -> Pdu {
    let id: String = row.take(0).expect("a column");
    let json: String = row.take(1).expect("a column");
    // The create event names the room; the others say which it is.
    let room_id = RoomId::parse(id.replace('$', "!")).expect("an ID");
    let id = EventId::parse(id).expect("an ID");
    Pdu::from_stored(id, &room_id, json.into()).expect("an event")
}
