//! What a destination that keeps lists of devices stands on: its server, which answers what a test
//! says, and rooms that are shared with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, StatusCode};
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde_json::{Value as JsonValue, json};
use skerry::{
    Error, Result,
    messages::{
        Ask as _,
        destination::{self, ChangeDevices, GetDeviceLists},
        room::{self, Departures, Outgoing},
        user,
    },
    objects::{Object as _, destination::Destination},
    ports::{
        Http,
        http::{Body, HttpError, Request, Response},
    },
};
use skerry_core::{SigningKey, device_keys::changes};
use skerry_tests::keys::Key;
use tokio::sync::watch;

use crate::{
    host::{GlobalStore, Host},
    only::{Only, SomeObjects},
    own_room,
};

/// Where the server is: nobody is asked for that.
pub(crate) const SERVER: &str = "127.0.0.1:8448";
/// An encrypted room.
pub(crate) const ROOM: &str = "!encrypted:localhost";

/// A user of the server.
pub(crate) fn user(name: &str) -> String {
    format!("@{name}:{SERVER}")
}

/// Devices of a user, each with its key, and the ID of the list.
type List = (BTreeMap<String, Key>, u64);

/// The other server.
#[derive(Default)]
pub(crate) struct Script {
    lists: Mutex<BTreeMap<String, List>>,
    asked: Mutex<Vec<String>>,
    is_away: AtomicBool,
    /// It knows nothing of lists of one user.
    is_old: AtomicBool,
    held: watch::Sender<bool>,
    arrivals: watch::Sender<usize>,
}

impl Script {
    fn answer(&self, path: &str, body: &[u8]) -> (StatusCode, JsonValue) {
        let lists = self.lists.lock().unwrap();
        let devices = |user: &str| {
            let (keys, id) = lists.get(user).cloned().unwrap_or_default();
            let devices = keys.iter().map(|(id, key)| (id.clone(), key.device(user, id)));
            (devices.collect::<serde_json::Map<_, _>>(), id)
        };
        if path.ends_with("/user/keys/query") {
            let body: JsonValue = serde_json::from_slice(body).unwrap();
            let users = body.get("device_keys").and_then(JsonValue::as_object).unwrap().keys();
            let answered: serde_json::Map<_, _> =
                users.map(|it| (it.clone(), devices(it).0.into())).collect();
            return (StatusCode::OK, json!({ "device_keys": answered }));
        }
        let user = path.rsplit('/').next().unwrap().replace("%40", "@").replace("%3A", ":");
        if path.contains("/user/devices/") && !self.is_old.load(Ordering::Relaxed) {
            let (devices, id) = devices(&user);
            let devices = devices.iter().map(|(id, keys)| json!({ "device_id": id, "keys": keys }));
            let devices: Vec<_> = devices.collect();
            let list = json!({ "user_id": user, "stream_id": id, "devices": devices });
            return (StatusCode::OK, list);
        }
        let unknown = json!({ "errcode": "M_UNRECOGNIZED", "error": "unknown" });
        (StatusCode::NOT_FOUND, unknown)
    }
}

#[async_trait]
impl Http for Script {
    async fn send(&self, request: Request) -> Result<Response, HttpError> {
        let path = request.url.path().to_owned();
        if path.contains("/send/") || self.is_away.load(Ordering::Relaxed) {
            return Err(HttpError::new(skerry::ports::http::Fault::Connect, "nobody is there"));
        }
        self.asked.lock().unwrap().push(path.clone());
        self.arrivals.send_modify(|it| *it += 1);
        self.held.subscribe().wait_for(|it| !*it).await.unwrap();
        let body = match request.body {
            Body::Whole(bytes) => bytes.to_vec(),
            Body::Parts(_, parts) => {
                let parts: Vec<_> = parts.collect().await;
                parts.into_iter().flat_map(|it| it.unwrap().to_vec()).collect()
            }
        };
        let (status, body) = self.answer(&path, &body);
        let body = Box::pin(stream::iter([Ok(Bytes::from(body.to_string()))]));
        Ok(Response { status, headers: HeaderMap::new(), body })
    }
}

/// The encrypted room, and the users of this server, who are in it.
#[derive(Default)]
pub(crate) struct Shared {
    /// Users of the other server who are in it.
    pub(crate) members: Mutex<BTreeSet<String>>,
    /// What it says of those who have left.
    pub(crate) departures: Mutex<Departures>,
    is_gone: AtomicBool,
    /// Of whom it was told.
    told: Mutex<Vec<String>>,
    asked: Mutex<usize>,
}

#[async_trait]
impl SomeObjects for Shared {
    async fn room(&self, room_id: &RoomId, command: room::Command) -> Result<room::Reply> {
        assert_eq!(room_id, ROOM);
        Ok(match command {
            room::Command::GetOutgoing(_) if self.is_gone.load(Ordering::Relaxed) => {
                return Err(Error::UnknownRoom);
            }
            room::Command::GetOutgoing(it) => {
                let departures = std::mem::take(&mut *self.departures.lock().unwrap());
                let upto = it.after.unwrap_or(0) + 1;
                let outgoing = Outgoing { upto, departures, ..Outgoing::default() };
                room::Reply::GetOutgoing(Box::new(outgoing))
            }
            room::Command::WhoShares(it) => {
                *self.asked.lock().unwrap() += 1;
                let members = self.members.lock().unwrap();
                let shared = it.others.into_iter().filter(|it| members.contains(it.as_str()));
                room::Reply::WhoShares(shared.collect())
            }
            room::Command::ChangeDevices(it) => {
                self.told.lock().unwrap().push(it.user_id.localpart().to_owned());
                room::Reply::ChangeDevices(())
            }
            _ => return Err(Error::internal("a room is asked for nothing else")),
        })
    }

    async fn user(&self, _: &UserId, command: user::Command) -> Result<user::Reply> {
        assert!(matches!(command, user::Command::ListRooms(_)), "{command:?}");
        let rooms: Vec<OwnedRoomId> =
            ["!other:localhost", ROOM].map(|it| it.try_into().unwrap()).into();
        Ok(user::Reply::ListRooms(rooms))
    }
}

/// A destination, its server, and the room.
pub(crate) struct World {
    pub(crate) host: Arc<Host>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) script: &'static Script,
    pub(crate) destination: Arc<Destination>,
}

impl World {
    /// Bob and Carol are in the room.
    pub(crate) async fn new() -> Self {
        let members = Mutex::new(["bob", "carol"].map(user).into());
        let shared = Arc::new(Shared { members, ..Shared::default() });
        let host = Host::open(Arc::new(Only(shared.clone())), GlobalStore::Down).await;
        let script: &'static Script = Box::leak(Box::default());
        host.asks(script);
        let destination = Self::destination(&host);
        let world = Self { host, shared, script, destination };
        world.activity(1).await;
        world
    }

    fn destination(host: &Arc<Host>) -> Arc<Destination> {
        let server = own_room::server("localhost", SigningKey::from_seed([1; 32], "1").unwrap());
        Destination::new(SERVER.try_into().unwrap(), server, host.clone())
    }

    /// What is in memory is lost, and what was put off.
    pub(crate) fn crash(&mut self) {
        drop(self.host.take_deferred());
        self.destination = Self::destination(&self.host);
    }

    /// Something happens in the room, which is read.
    pub(crate) async fn activity(&self, position: u64) {
        let room_id = ROOM.try_into().unwrap();
        let activity = destination::RoomActivity { room_id, position, is_weak: false };
        self.destination.ask(activity.into_command()).await.unwrap();
        self.drain().await;
    }

    /// Users have left the room, or it is not shared any more.
    pub(crate) async fn depart(&self, users: &[&str], are_all: bool, position: u64) {
        let user_ids = users.iter().map(|it| user(it).try_into().unwrap()).collect();
        *self.shared.departures.lock().unwrap() = Departures { user_ids, are_all };
        self.activity(position).await;
    }

    /// The room is gone.
    pub(crate) fn forget_room(&self) {
        self.shared.is_gone.store(true, Ordering::Relaxed);
    }

    /// A user has these devices, with new keys, by a list of that ID.
    pub(crate) fn has(&self, name: &str, devices: &[&str], id: u64) {
        let devices = devices.iter().map(|it| ((*it).to_owned(), Key::default())).collect();
        self.script.lists.lock().unwrap().insert(user(name), (devices, id));
    }

    /// What the server says when a device gets new keys, which it has from then on.
    pub(crate) fn update(&self, name: &str, device: &str, id: u64, after: &[u64]) -> JsonValue {
        let (user, key) = (user(name), Key::default());
        let keys = key.device(&user, device);
        let mut lists = self.script.lists.lock().unwrap();
        let list = lists.entry(user.clone()).or_default();
        list.0.insert(device.to_owned(), key);
        list.1 = id;
        let content = json!({ "user_id": user, "device_id": device, "stream_id": id,
            "prev_id": after, "keys": keys });
        json!({ "edu_type": "m.device_list_update", "content": content })
    }

    /// The server says this.
    pub(crate) async fn try_say(&self, edus: &[JsonValue]) -> Result<()> {
        let edus: Vec<_> = edus.iter().map(JsonValue::to_string).collect();
        let changes = changes::read(SERVER.try_into().unwrap(), edus.iter().map(|it| &**it));
        let user_ids: BTreeSet<OwnedUserId> = changes.iter().map(|it| it.user_id.clone()).collect();
        let question = ChangeDevices { user_ids: user_ids.into_iter().collect(), changes };
        self.destination.ask(question.into_command()).await.map(drop)
    }

    pub(crate) async fn say(&self, edus: &[JsonValue]) {
        self.try_say(edus).await.unwrap();
    }

    /// The server shows that it is there.
    pub(crate) async fn sign_of_life(&self) {
        let sign = destination::SignOfLife {}.into_command();
        self.destination.ask(sign).await.unwrap();
        self.drain().await;
    }

    /// Asks for lists of users. Gives each as the names of its devices, if all are right, and
    /// whether some were not to be had.
    pub(crate) async fn query(&self, users: &[&str]) -> (Vec<(String, Vec<String>)>, bool) {
        let question = GetDeviceLists {
            user_ids: users.iter().map(|it| user(it).try_into().unwrap()).collect(),
            reader: "@ann:localhost".try_into().unwrap(),
            wait_ms: 10_000,
        };
        let reply = self.destination.ask(question.into_command()).await.unwrap();
        let answer = GetDeviceLists::from_reply(reply).unwrap();
        let lists = answer.lists.into_iter().map(|(user_id, list)| {
            let devices = list.devices.keys().map(ToString::to_string).collect();
            (user_id.localpart().to_owned(), devices)
        });
        (lists.collect(), answer.has_failed)
    }

    /// The devices of one user, whose list is to be had.
    pub(crate) async fn devices(&self, name: &str) -> Vec<String> {
        let (mut lists, has_failed) = self.query(&[name]).await;
        assert!(!has_failed && lists.len() == 1, "{lists:?}");
        lists.remove(0).1
    }

    /// What the server was asked since the last look.
    pub(crate) fn asked(&self) -> Vec<String> {
        let asked = std::mem::take(&mut *self.script.asked.lock().unwrap());
        let asked = asked.into_iter().map(|it| {
            let is_query = it.ends_with("/query");
            if is_query { "several" } else { "one" }.to_owned()
        });
        asked.collect()
    }

    /// Of whom the room was told since the last look.
    pub(crate) fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.shared.told.lock().unwrap())
    }

    /// How often rooms were asked who shares them, since the last look.
    pub(crate) fn rooms_asked(&self) -> usize {
        std::mem::take(&mut *self.shared.asked.lock().unwrap())
    }

    pub(crate) fn is_away(&self, is: bool) {
        self.script.is_away.store(is, Ordering::Relaxed);
    }

    pub(crate) fn is_old(&self) {
        self.script.is_old.store(true, Ordering::Relaxed);
    }

    /// The server answers nothing before [`Self::release`].
    pub(crate) fn hold(&self) {
        self.script.arrivals.send_replace(0);
        self.script.held.send_replace(true);
    }

    /// Waits until the server is asked so often.
    pub(crate) async fn arrived(&self, times: usize) {
        self.script.arrivals.subscribe().wait_for(|it| *it >= times).await.unwrap();
    }

    pub(crate) fn release(&self) {
        self.script.held.send_replace(false);
    }

    /// Does all that was put off, and what comes of that.
    pub(crate) async fn drain(&self) {
        loop {
            let deferred = self.host.take_deferred();
            if deferred.is_empty() {
                return;
            }
            for work in deferred {
                work.await;
            }
        }
    }

    /// Time passes until the alarm, which goes off.
    pub(crate) async fn alarm(&self) -> u64 {
        let waited_ms = self.host.pass_until_alarm().unwrap();
        self.host.alarm_goes_off();
        self.destination.alarm().await.unwrap();
        self.host.alarm_is_over();
        self.drain().await;
        waited_ms
    }

    /// Rows that are kept of lists.
    pub(crate) async fn kept(&self) -> u64 {
        let kept = self.host.count("destination_tracked_users").await;
        assert_eq!(self.host.count("destination_device_lists").await, kept);
        kept
    }
}
