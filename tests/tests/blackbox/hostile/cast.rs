//! Who and what there is: the one who asks, those who are asked about, and the names of all that a
//! request may be about. Anew for every seed.

use super::{one_of, rng::Rng, victim::Victim};
use skerry_tests::{Client, PASSWORD, Reply, Server, User, Value, json, message, path, unique};
use std::sync::Arc;

/// The device that one gets who logs in.
pub(super) const DEVICE: &str = "DEVICE";
/// A user who asks, in rooms of every kind. What is listed is listed as often as it is wanted.
pub(super) struct Cast {
    pub(super) asker: User,
    pub(super) peer: User,
    pub(super) victim: Arc<Victim>,
    pub(super) own_room: String,
    /// A room at which one may knock.
    pub(super) closed: String,
    pub(super) alias: String,
    pub(super) message: String,
    pub(super) refresh_token: String,
    pub(super) filter: String,
    pub(super) places: Places,
    rooms: Vec<String>,
    events: Vec<String>,
    users: Vec<String>,
    /// What the requests of this pass have made.
    made: Made,
}

#[derive(Default)]
struct Made {
    rooms: Vec<String>,
    events: Vec<String>,
}

/// Tokens of a sync, of pages of a room, and of a page of public rooms.
pub(super) struct Places {
    pub(super) since: String,
    pub(super) before: String,
    pub(super) end: String,
    pub(super) public: String,
}

impl Cast {
    /// Makes one around a peer.
    pub(super) async fn new(
        server: &Server,
        victim: Arc<Victim>,
        peer: User,
        rng: &mut Rng,
    ) -> Self {
        let (asker, refresh_token) = account(server).await;
        let direct = json!({ (peer.id.as_str()): [] });
        asker.put(path(["user", &asker.id, "account_data", "m.direct"])).json(&direct).ok().await;
        let alias_name = unique("alias");
        let version = one_of(rng, &["1", "3", "6", "9", "10", "11", "12"]);
        let own = json!({ "preset": "public_chat", "room_version": version, "visibility": "public",
            "room_alias_name": alias_name, "name": "of the hostile" });
        let own_room = asker.create_room(&own).await;
        peer.join(&own_room).await;
        let said = asker.say(&own_room, "mine").await;
        let topic = json!({ "topic": "mine" });
        let topic = asker.set_state(&own_room, "m.room.topic", "", &topic).await;
        let reply = peer.say(&own_room, "theirs").await;
        let filter = json!({ "room": { "timeline": { "limit": 5 } } });
        let filter = asker.post(path(["user", &asker.id, "filter"])).json(&filter).ok().await;
        let closed = closed_room(&peer, "knock", &own_room).await;
        let mut rooms = vec![own_room.clone(); 6];
        rooms.extend(other_rooms(&asker, &peer, &victim, &own_room).await);
        rooms.extend([closed.clone(), "!nowhere:localhost".to_owned()]);
        rooms.push("!elsewhere:other.example".to_owned());
        let mut events = vec![said.clone(), said.clone(), topic, reply];
        events.extend(victim.messages());
        events.extend(["$nothing", "$elsewhere:other.example"].map(ToOwned::to_owned));
        let mut users = vec![asker.id.clone(); 6];
        users.extend([peer.id.clone(), victim.user.id.clone()]);
        users.extend(["@nobody:localhost", "@somebody:other.example"].map(ToOwned::to_owned));
        Self {
            victim,
            alias: format!("#{alias_name}:localhost"),
            places: Places::of(&asker, &own_room).await,
            message: said,
            filter: text(&filter["filter_id"]),
            made: Made::default(),
            refresh_token,
            rooms,
            events,
            users,
            own_room,
            closed,
            asker,
            peer,
        }
    }

    /// Notes what an answer says was made.
    pub(super) fn learn(&mut self, reply: &Reply) {
        for (name, list) in [("room_id", &mut self.made.rooms), ("event_id", &mut self.made.events)]
        {
            list.extend(reply.json[name].as_str().map(ToOwned::to_owned));
        }
    }

    /// Something that fits an argument or parameter of that name; anything that there is, where
    /// nobody has thought of the name.
    pub(super) fn fitting(&self, name: &str, rng: &mut Rng) -> String {
        let pick = |rng: &mut Rng, of: &[String]| one_of(rng, of).clone();
        match name {
            "room_id" if rng.percent(30) && !self.made.rooms.is_empty() => {
                pick(rng, &self.made.rooms)
            }
            "room_id" => pick(rng, &self.rooms),
            "user_id" => pick(rng, &self.users),
            "event_id" if rng.percent(30) && !self.made.events.is_empty() => {
                pick(rng, &self.made.events)
            }
            "event_id" => pick(rng, &self.events),
            "room_alias" => match rng.below(4) {
                0 => self.alias.clone(),
                1 => "#nothing:localhost".to_owned(),
                2 => "#elsewhere:other.example".to_owned(),
                _ => format!("#{}:localhost", unique("alias")),
            },
            "room_id_or_alias" if rng.percent(30) => self.fitting("room_alias", rng),
            "room_id_or_alias" => self.fitting("room_id", rng),
            "device_id" if rng.percent(40) => DEVICE.to_owned(),
            "device_id" => self.asker.device.clone(),
            "txn_id" if rng.percent(80) => unique("txn"),
            "txn_id" => "again".to_owned(),
            "filter_id" => self.filter.clone(),
            "event_type" => one_of(rng, &EVENT_TYPES).to_string(),
            "state_key" if rng.percent(60) => String::new(),
            "state_key" => self.fitting("user_id", rng),
            "receipt_type" => one_of(rng, &RECEIPT_TYPES).to_string(),
            "field" => one_of(rng, &PROFILE_FIELDS).to_string(),
            "tag" => one_of(rng, &["m.favourite", "m.lowpriority", "u.some"]).to_string(),
            "place" => {
                let Places { since, before, end, public } = &self.places;
                (*one_of(rng, &[since, before, end, public])).clone()
            }
            _ => {
                let names = ["room_id", "user_id", "event_id", "device_id", "event_type", "place"];
                let name = *one_of(rng, &names);
                self.fitting(name, rng)
            }
        }
    }

    /// The content of a message.
    pub(super) fn message_content(&self) -> Value {
        let mut content = message("hostile");
        content["m.relates_to"] = json!({ "rel_type": "m.thread", "event_id": self.message,
            "is_falling_back": true, "m.in_reply_to": { "event_id": self.message } });
        content["m.mentions"] = json!({ "user_ids": [self.peer.id], "room": true });
        content
    }
}

impl Places {
    async fn of(asker: &User, room: &str) -> Self {
        let sync = asker.get("/sync").ok().await;
        let page = asker.messages(room, "f").query("limit", 2).ok().await;
        let public = asker.get("/publicRooms").query("limit", 1).ok().await;
        Self {
            since: text(&sync["next_batch"]),
            before: text(&sync["rooms"]["join"][room]["timeline"]["prev_batch"]),
            end: text(&page["end"]),
            public: text(&public["next_batch"]),
        }
    }
}

/// A new user, and a refresh token of theirs.
async fn account(server: &Server) -> (User, String) {
    let client = Client::new(server.url());
    let account = json!({ "username": unique("hostile"), "password": PASSWORD,
        "refresh_token": true });
    let dummy = json!({ "type": "m.login.dummy" });
    let session = client.post("/register").uia(account, dummy).await.ok();
    let user = User::from_session(&client, &session);
    let profile = json!({ "displayname": "Hostile" });
    user.put(path(["profile", &user.id, "displayname"])).json(&profile).ok().await;
    (user, text(&session["refresh_token"]))
}

/// Rooms that are not the asker's, to which they stand in one way or another.
async fn other_rooms(asker: &User, peer: &User, victim: &Victim, own_room: &str) -> Vec<String> {
    asker.join(&victim.shared).await;
    let left = peer.public_room(&[asker]).await;
    asker.leave(&left).await;
    let invited = peer.create_room(&json!({ "invite": [asker.id] })).await;
    let restricted = closed_room(peer, "restricted", own_room).await;
    let open = peer.public_room(&[]).await;
    let (shared, private) = (victim.shared.clone(), victim.private.clone());
    vec![shared.clone(), shared, private, left, invited, restricted, open]
}

/// A room with this join rule, which whoever is in that other room may fulfil.
async fn closed_room(creator: &User, join_rule: &str, other: &str) -> String {
    let allow = json!([{ "type": "m.room_membership", "room_id": other }]);
    let rule = json!({ "type": "m.room.join_rules", "state_key": "",
        "content": { "join_rule": join_rule, "allow": allow } });
    creator.create_room(&json!({ "initial_state": [rule] })).await
}

fn text(json: &Value) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

const EVENT_TYPES: [&str; 8] = [
    "m.room.message",
    "m.room.member",
    "m.room.power_levels",
    "m.room.create",
    "m.room.name",
    "m.direct",
    "m.ignored_user_list",
    "org.example.some",
];
const RECEIPT_TYPES: [&str; 4] = ["m.read", "m.read.private", "m.fully_read", "org.example.seen"];
const PROFILE_FIELDS: [&str; 4] = ["displayname", "avatar_url", "m.tz", "org.example.mood"];
