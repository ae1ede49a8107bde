//! What encrypted rooms ask of a server: the keys of everybody in a large room, a message to each
//! of their devices, many who want the last keys of one device, and a device that changes.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Map, Value, json};
use skerry_tests::Key;
use tokio::{task::JoinSet, time::Instant};

use crate::{
    api::{self, User},
    error::{Error, Result},
    http::{Connection, Request},
    report::Sheet,
    scale::JOINERS,
    stats::Latencies,
    window::Window,
    world::{World, joined},
};

const ALGORITHM: &str = "signed_curve25519";
/// Claims of keys of one device that are made at once, and the one-time keys that it has.
const CLAIMS: usize = 100;
const LAST_KEYS: usize = 50;
/// Bytes of what is encrypted for a device, about: a key of a room.
const CIPHERTEXT_BYTES: usize = 500;

/// All of it.
pub(crate) async fn keys(world: &mut World, sheet: &mut Sheet) -> Result<()> {
    let repeats = world.scale.repeats;
    let (users, owner) = (world.joiners().await?, world.owner().await?);
    upload_all(world, &users, repeats).await?;
    let window = Window::open(world);
    let asked = of_each(&users, |_| json!([]));
    let body = json!({ "device_keys": asked }).to_string();
    let mut latencies = Latencies::default();
    for _ in 0..repeats {
        let request = Request::post("/_matrix/client/v3/keys/query", &owner.token, &body);
        timed(world, request, &mut latencies).await?;
        let found: Value = world.connection.json()?;
        expect(users.len(), of(&found, &["device_keys"]).as_object().map_or(0, Map::len))?;
    }
    sheet.figure("query_p50", latencies.percentile_ms(50), "ms");
    sheet.figure("query_size", world.connection.body().len() as f64 / 1e3, "kB");
    claim_one_each(world, sheet, &owner, &users).await?;
    send_to_each(world, sheet, &owner, &users).await?;
    sheet.usage(window.close(world));
    claim_the_last(world, sheet, &users).await?;
    change_a_device(world, sheet, &users).await
}

async fn claim_one_each(
    world: &mut World,
    sheet: &mut Sheet,
    owner: &User,
    users: &[Arc<User>],
) -> Result<()> {
    let asked = of_each(users, |user| json!({ (user.device_id.as_str()): ALGORITHM }));
    let body = json!({ "one_time_keys": asked }).to_string();
    let mut latencies = Latencies::default();
    for _ in 0..world.scale.repeats {
        let request = Request::post("/_matrix/client/v3/keys/claim", &owner.token, &body);
        timed(world, request, &mut latencies).await?;
        let found: Value = world.connection.json()?;
        expect(users.len(), of(&found, &["one_time_keys"]).as_object().map_or(0, Map::len))?;
    }
    sheet.figure("claim_p50", latencies.percentile_ms(50), "ms");
    Ok(())
}

async fn send_to_each(
    world: &mut World,
    sheet: &mut Sheet,
    owner: &User,
    users: &[Arc<User>],
) -> Result<()> {
    let encrypted = json!({ "algorithm": "m.olm.v1.curve25519-aes-sha2", "sender_key": "x",
        "ciphertext": { "y": { "type": 1, "body": "z".repeat(CIPHERTEXT_BYTES) } } });
    let messages = of_each(users, |user| json!({ (user.device_id.as_str()): encrypted }));
    let body = json!({ "messages": messages }).to_string();
    let mut latencies = Latencies::default();
    for number in 0..world.scale.repeats {
        let path = format!("/_matrix/client/v3/sendToDevice/m.room.encrypted/load-{number}");
        timed(world, Request::put(&path, &owner.token, &body), &mut latencies).await?;
    }
    sheet.figure("send_p50", latencies.percentile_ms(50), "ms");
    Ok(())
}

/// Many want a key of one device at once, which has half as many and a fallback key.
async fn claim_the_last(world: &mut World, sheet: &mut Sheet, users: &[Arc<User>]) -> Result<()> {
    let Some(last) = users.last() else { return Ok(()) };
    let device = api::log_in(&mut world.connection, &last.id, &world.password).await?;
    upload(&mut world.connection, &device, LAST_KEYS).await?;
    let asked = json!({ (device.id.as_str()): { (device.device_id.as_str()): ALGORITHM } });
    let body = Arc::new(json!({ "one_time_keys": asked }).to_string());
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for number in 0..CLAIMS {
        let mut connection = Connection::new(&world.target);
        let claimant = users.get(number % users.len()).unwrap_or(last).clone();
        let (body, device) = (Arc::clone(&body), device.clone());
        tasks.spawn(async move {
            let path = "/_matrix/client/v3/keys/claim";
            connection.call(Request::post(path, &claimant.token, &body)).await?;
            let found: Value = connection.json()?;
            let keys = of(&found, &["one_time_keys", &device.id, &device.device_id]).as_object();
            let name = keys.and_then(|it| it.keys().next().cloned());
            name.ok_or_else(|| Error::Wrong("a device gave no key".to_owned()))
        });
    }
    let mut names = Vec::new();
    while let Some(name) = tasks.join_next().await {
        names.push(joined(name)?);
    }
    sheet.figure("claims_at_once", started.elapsed().as_secs_f64() * 1e3, "ms");
    let fallback = names.iter().filter(|it| it.ends_with(":fallback")).count();
    names.retain(|it| !it.ends_with(":fallback"));
    expect(CLAIMS - LAST_KEYS, fallback)?;
    expect(LAST_KEYS, names.iter().collect::<BTreeSet<_>>().len())
}

/// A device of a user in many encrypted rooms uploads other keys: how long until that is answered,
/// and until a member of one of the rooms is told.
async fn change_a_device(world: &mut World, sheet: &mut Sheet, users: &[Arc<User>]) -> Result<()> {
    let (rooms, members) = match world.scale.name {
        "full" => (200, 100),
        "edge" => (20, 20),
        _ => (4, 10),
    };
    let members = users.get(..members.min(users.len())).unwrap_or_default();
    let [changing, watching, ..] = members else { return Ok(()) };
    let mut room_ids = Vec::with_capacity(rooms);
    for number in 0..rooms {
        let name = format!("Encrypted {number}");
        let room_id = api::create_room(&mut world.connection, changing, &name).await?;
        let path = api::room_path(&room_id, "state/m.room.encryption");
        let body = json!({ "algorithm": "m.megolm.v1.aes-sha2" }).to_string();
        world.connection.call(Request::put(&path, &changing.token, &body)).await?;
        room_ids.push(room_id);
    }
    join_all(world, members, &room_ids).await?;
    let (mut answered, mut heard) = (Latencies::default(), Latencies::default());
    for _ in 0..world.scale.repeats {
        let since = sync(world, watching, "").await?;
        let connection = Connection::new(&world.target);
        let listener = listen(connection, Arc::clone(watching), since, changing.id.clone());
        let listener = tokio::spawn(listener);
        // Its request is on its way.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let started = Instant::now();
        upload(&mut world.connection, changing, 0).await?;
        answered.push(started.elapsed());
        let at = joined(listener.await)?;
        heard.push(at.saturating_duration_since(started));
    }
    sheet.figure("change_p50", answered.percentile_ms(50), "ms");
    sheet.figure("change_heard_p50", heard.percentile_ms(50), "ms");
    Ok(())
}

async fn join_all(world: &World, members: &[Arc<User>], room_ids: &[String]) -> Result<()> {
    let room_ids: Arc<Vec<String>> = Arc::new(room_ids.to_vec());
    let mut tasks = JoinSet::new();
    for part in members.get(1..).unwrap_or_default().chunks(members.len().div_ceil(JOINERS)) {
        let (part, room_ids) = (part.to_vec(), Arc::clone(&room_ids));
        let mut connection = Connection::new(&world.target);
        tasks.spawn(async move {
            for user in part {
                for room_id in room_ids.iter() {
                    api::join(&mut connection, &user, room_id).await?;
                }
            }
            Ok(())
        });
    }
    while let Some(part) = tasks.join_next().await {
        joined(part)?;
    }
    Ok(())
}

/// Long-polls until a user is told to have changed, and says when.
async fn listen(
    mut connection: Connection,
    user: Arc<User>,
    mut since: String,
    changing: String,
) -> Result<Instant> {
    loop {
        let path = format!("/_matrix/client/v3/sync?timeout=30000&since={since}");
        connection.call(Request::get(&path, &user.token)).await?;
        let found: Value = connection.json()?;
        let changed = of(&found, &["device_lists", "changed"]).as_array();
        if changed.is_some_and(|it| it.iter().any(|it| *it == changing.as_str())) {
            return Ok(Instant::now());
        }
        since = api::encode(of(&found, &["next_batch"]).as_str().unwrap_or_default());
    }
}

/// Syncs until nothing more comes, and gives the token as it stands in a query.
async fn sync(world: &mut World, user: &User, since: &str) -> Result<String> {
    let mut since = since.to_owned();
    loop {
        let from = if since.is_empty() { String::new() } else { format!("&since={since}") };
        let path = format!("/_matrix/client/v3/sync?timeout=0{from}");
        world.connection.call(Request::get(&path, &user.token)).await?;
        let found: Value = world.connection.json()?;
        let next = api::encode(of(&found, &["next_batch"]).as_str().unwrap_or_default());
        let has_rooms = of(&found, &["rooms", "join"]).as_object().is_some_and(|it| !it.is_empty());
        let has_more = has_rooms || of(&found, &["device_lists", "changed"]).is_array();
        since = next;
        if !has_more {
            return Ok(since);
        }
    }
}

/// Every device uploads its keys, and so many one-time keys.
async fn upload_all(world: &World, users: &[Arc<User>], keys: usize) -> Result<()> {
    let mut tasks = JoinSet::new();
    for part in users.chunks(users.len().div_ceil(JOINERS).max(1)) {
        let (part, mut connection) = (part.to_vec(), Connection::new(&world.target));
        tasks.spawn(async move {
            for user in part {
                upload(&mut connection, &user, keys).await?;
            }
            Ok(())
        });
    }
    while let Some(part) = tasks.join_next().await {
        joined(part)?;
    }
    Ok(())
}

/// A device uploads new keys of its own, so many one-time keys, and a fallback key.
async fn upload(connection: &mut Connection, user: &User, keys: usize) -> Result<()> {
    let (user_id, device_id) = (user.id.as_str(), user.device_id.as_str());
    let one_time = |number: usize| {
        let signatures = json!({ (user_id): { (format!("ed25519:{device_id}")): "signature" } });
        json!({ "key": format!("key {number}"), "signatures": signatures })
    };
    let named = |number: usize| (format!("{ALGORITHM}:{number:05}"), one_time(number));
    let keys: Map<_, _> = (0..keys).map(named).collect();
    let body = json!({
        "device_keys": Key::default().device(user_id, device_id),
        "one_time_keys": keys,
        "fallback_keys": { (format!("{ALGORITHM}:fallback")): one_time(0) },
    });
    let path = "/_matrix/client/v3/keys/upload";
    connection.call(Request::post(path, &user.token, &body.to_string())).await
}

/// What stands in an answer at the end of these names.
fn of<'a>(answer: &'a Value, names: &[&str]) -> &'a Value {
    names.iter().fold(answer, |it, name| it.get(name).unwrap_or(&Value::Null))
}

/// Something for each user.
fn of_each(users: &[Arc<User>], of: impl Fn(&User) -> Value) -> Map<String, Value> {
    users.iter().map(|it| (it.id.clone(), of(it))).collect()
}

async fn timed(world: &mut World, request: Request<'_>, latencies: &mut Latencies) -> Result<()> {
    let started = Instant::now();
    world.connection.call(request).await?;
    latencies.push(started.elapsed());
    Ok(())
}

fn expect(expected: usize, found: usize) -> Result<()> {
    match found == expected {
        true => Ok(()),
        false => Err(Error::Wrong(format!("{found} keys of {expected}"))),
    }
}
