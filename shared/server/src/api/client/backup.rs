//! Backups of room keys ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#server-side-key-backups

mod restore;

use std::collections::BTreeMap;

use ruma::{
    OwnedRoomId, UInt,
    api::{
        client::backup::{
            BackupAlgorithm, KeyBackupData, add_backup_keys, add_backup_keys_for_room,
            add_backup_keys_for_session, create_backup_version, delete_backup_keys,
            delete_backup_keys_for_room, delete_backup_keys_for_session, delete_backup_version,
            get_backup_info, get_latest_backup_info, update_backup_version,
        },
        error::ErrorKind,
    },
    serde::Raw,
};
use serde::{Deserialize, Serialize};
use serde_json::value::to_raw_value;
use skerry_core::{
    integer,
    key_backup::{Key, KeyError},
};

use super::super::{Cx, json, mount::Routes};
use crate::{
    Error, Result,
    messages::{
        Caller, RawJson,
        user::{
            Backup, BackupKey, CreateBackup, DeleteBackup, DeleteBackupKeys, GetBackup, HeldKeys,
            PutBackupKeys, UpdateBackup, WhichKeys,
        },
    },
};

/// Bytes of the name of an algorithm.
const MAX_ALGORITHM_BYTES: usize = 255;

/// Mounts the endpoints of this area.
pub fn routes(routes: Routes) -> Routes {
    restore::routes(routes)
        .mount(create_backup_version)
        .mount(get_latest_backup_info)
        .mount(get_backup_info)
        .mount(update_backup_version)
        .mount(delete_backup_version)
        .mount(add_backup_keys)
        .mount(add_backup_keys_for_room)
        .mount(add_backup_keys_for_session)
        .mount(delete_backup_keys)
        .mount(delete_backup_keys_for_room)
        .mount(delete_backup_keys_for_session)
}

fn unknown_version() -> Error {
    Error::not_found("there is no such backup")
}

/// The version of a backup; an opaque text to clients.
fn version(text: &str) -> Result<u64> {
    integer::parse(text).ok_or_else(unknown_version)
}

/// What a backup says of itself. ruma knows what one algorithm needs alone.
#[derive(Deserialize, Serialize)]
struct Described {
    algorithm: String,
    auth_data: RawJson,
    #[serde(default, skip_serializing)]
    version: Option<String>,
}

fn described(raw: &Raw<BackupAlgorithm>) -> Result<Described> {
    let described = raw.deserialize_as_unchecked::<Described>();
    let described = described.map_err(|error| json::refusal(&error.into()))?;
    if !described.auth_data.get().starts_with('{') {
        return Err(Error::bad_json("the auth_data is not a JSON object"));
    }
    if described.algorithm.len() > MAX_ALGORITHM_BYTES {
        return Err(Error::invalid_param("the name of the algorithm is too long"));
    }
    Ok(described)
}

/// `POST /_matrix/client/*/room_keys/version`
pub async fn create_backup_version(
    cx: Cx,
    caller: Caller,
    request: create_backup_version::v3::Request,
) -> Result<create_backup_version::v3::Response> {
    let Described { algorithm, auth_data, .. } = described(&request.algorithm)?;
    let question = CreateBackup { algorithm, auth_data };
    let version = cx.ports.objects.ask(&*caller.user_id, question).await?;
    Ok(create_backup_version::v3::Response::new(version.to_string()))
}

/// What is known of a backup: in ruma's form, how many keys it has, their etag, its version.
async fn info(
    cx: &Cx,
    caller: &Caller,
    version: Option<u64>,
) -> Result<(Raw<BackupAlgorithm>, UInt, String, String)> {
    let backup = cx.ports.objects.ask(&*caller.user_id, GetBackup { version }).await?;
    let Backup { version, algorithm, auth_data, held } = backup.ok_or_else(unknown_version)?;
    let described = to_raw_value(&Described { algorithm, auth_data, version: None })?;
    let (count, etag) = (UInt::new_saturating(held.count), held.etag.to_string());
    Ok((Raw::from_json(described), count, etag, version.to_string()))
}

/// `GET /_matrix/client/*/room_keys/version`
pub async fn get_latest_backup_info(
    cx: Cx,
    caller: Caller,
    _: get_latest_backup_info::v3::Request,
) -> Result<get_latest_backup_info::v3::Response> {
    let (algorithm, count, etag, version) = info(&cx, &caller, None).await?;
    Ok(get_latest_backup_info::v3::Response::new(algorithm, count, etag, version))
}

/// `GET /_matrix/client/*/room_keys/version/{version}`
pub async fn get_backup_info(
    cx: Cx,
    caller: Caller,
    request: get_backup_info::v3::Request,
) -> Result<get_backup_info::v3::Response> {
    let version = version(&request.version)?;
    let (algorithm, count, etag, version) = info(&cx, &caller, Some(version)).await?;
    Ok(get_backup_info::v3::Response::new(algorithm, count, etag, version))
}

/// `PUT /_matrix/client/*/room_keys/version/{version}`
pub async fn update_backup_version(
    cx: Cx,
    caller: Caller,
    request: update_backup_version::v3::Request,
) -> Result<update_backup_version::v3::Response> {
    let Described { algorithm, auth_data, version: named } = described(&request.algorithm)?;
    if named.is_some_and(|it| it != request.version) {
        return Err(Error::invalid_param("the body names another version"));
    }
    let question = UpdateBackup { version: version(&request.version)?, algorithm, auth_data };
    cx.ports.objects.ask(&*caller.user_id, question).await?;
    Ok(update_backup_version::v3::Response::new())
}

/// `DELETE /_matrix/client/*/room_keys/version/{version}`
pub async fn delete_backup_version(
    cx: Cx,
    caller: Caller,
    request: delete_backup_version::v3::Request,
) -> Result<delete_backup_version::v3::Response> {
    let question = DeleteBackup { version: version(&request.version)? };
    cx.ports.objects.ask(&*caller.user_id, question).await?;
    Ok(delete_backup_version::v3::Response::new())
}

type Sessions = BTreeMap<String, Raw<KeyBackupData>>;

/// Puts keys into a backup: all of them, or none.
async fn put(
    cx: &Cx,
    caller: &Caller,
    version: &str,
    rooms: impl IntoIterator<Item = (OwnedRoomId, Sessions)>,
) -> Result<(String, UInt)> {
    let mut keys = Vec::new();
    for (room_id, sessions) in rooms {
        for (session_id, key) in sessions {
            let key = Key::read(room_id.as_str(), &session_id, key.json().get());
            let (room_id, key) = (room_id.to_string(), key.map_err(refused)?);
            keys.push(BackupKey { room_id, session_id, key });
        }
    }
    let question = PutBackupKeys { version: self::version(version)?, keys };
    Ok(told(cx.ports.objects.ask(&*caller.user_id, question).await?))
}

fn refused(error: KeyError) -> Error {
    match error {
        KeyError::Malformed(message) => Error::bad_json(message),
        KeyError::TooLarge => Error::api(ErrorKind::TooLarge, error.to_string()),
    }
}

fn told(held: HeldKeys) -> (String, UInt) {
    (held.etag.to_string(), UInt::new_saturating(held.count))
}

/// `PUT /_matrix/client/*/room_keys/keys`
pub async fn add_backup_keys(
    cx: Cx,
    caller: Caller,
    request: add_backup_keys::v3::Request,
) -> Result<add_backup_keys::v3::Response> {
    let rooms = request.rooms.into_iter().map(|(room_id, it)| (room_id, it.sessions));
    let (etag, count) = put(&cx, &caller, &request.version, rooms).await?;
    Ok(add_backup_keys::v3::Response::new(etag, count))
}

/// `PUT /_matrix/client/*/room_keys/keys/{roomId}`
pub async fn add_backup_keys_for_room(
    cx: Cx,
    caller: Caller,
    request: add_backup_keys_for_room::v3::Request,
) -> Result<add_backup_keys_for_room::v3::Response> {
    let rooms = [(request.room_id, request.sessions)];
    let (etag, count) = put(&cx, &caller, &request.version, rooms).await?;
    Ok(add_backup_keys_for_room::v3::Response::new(etag, count))
}

/// `PUT /_matrix/client/*/room_keys/keys/{roomId}/{sessionId}`
pub async fn add_backup_keys_for_session(
    cx: Cx,
    caller: Caller,
    request: add_backup_keys_for_session::v3::Request,
) -> Result<add_backup_keys_for_session::v3::Response> {
    let sessions = Sessions::from([(request.session_id, request.session_data)]);
    let rooms = [(request.room_id, sessions)];
    let (etag, count) = put(&cx, &caller, &request.version, rooms).await?;
    Ok(add_backup_keys_for_session::v3::Response::new(etag, count))
}

/// Removes keys of a backup.
async fn remove(
    cx: &Cx,
    caller: &Caller,
    version: &str,
    room_id: Option<OwnedRoomId>,
    session_id: Option<String>,
) -> Result<(String, UInt)> {
    let which = WhichKeys { room_id: room_id.map(|it| it.to_string()), session_id };
    let question = DeleteBackupKeys { version: self::version(version)?, which };
    Ok(told(cx.ports.objects.ask(&*caller.user_id, question).await?))
}

/// `DELETE /_matrix/client/*/room_keys/keys`
pub async fn delete_backup_keys(
    cx: Cx,
    caller: Caller,
    request: delete_backup_keys::v3::Request,
) -> Result<delete_backup_keys::v3::Response> {
    let (etag, count) = remove(&cx, &caller, &request.version, None, None).await?;
    Ok(delete_backup_keys::v3::Response::new(etag, count))
}

/// `DELETE /_matrix/client/*/room_keys/keys/{roomId}`
pub async fn delete_backup_keys_for_room(
    cx: Cx,
    caller: Caller,
    request: delete_backup_keys_for_room::v3::Request,
) -> Result<delete_backup_keys_for_room::v3::Response> {
    let room_id = Some(request.room_id);
    let (etag, count) = remove(&cx, &caller, &request.version, room_id, None).await?;
    Ok(delete_backup_keys_for_room::v3::Response::new(etag, count))
}

/// `DELETE /_matrix/client/*/room_keys/keys/{roomId}/{sessionId}`
pub async fn delete_backup_keys_for_session(
    cx: Cx,
    caller: Caller,
    request: delete_backup_keys_for_session::v3::Request,
) -> Result<delete_backup_keys_for_session::v3::Response> {
    let (room_id, session_id) = (Some(request.room_id), Some(request.session_id));
    let (etag, count) = remove(&cx, &caller, &request.version, room_id, session_id).await?;
    Ok(delete_backup_keys_for_session::v3::Response::new(etag, count))
}
