//! Reading keys of a backup. All keys, or those of a room, may be more than can be held: they go
//! out while the user's object is asked for them, page by page.

use bytes::Bytes;
use futures_util::stream;
use ruma::{
    api::client::backup::{get_backup_keys, get_backup_keys_for_room, get_backup_keys_for_session},
    serde::Raw,
};
use serde_json::value::to_raw_value;

use super::version;
use crate::{
    Error, Result,
    api::{Cx, answer::Pieces, mount::Routes},
    messages::{
        Caller,
        user::{BackupKey, BackupPage, GetBackupKeys, WhichKeys},
    },
};

/// Mounts the endpoints.
pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .mount_streaming(get_backup_keys)
        .mount_streaming(get_backup_keys_for_room)
        .mount(get_backup_keys_for_session)
}

/// `GET /_matrix/client/*/room_keys/keys`
async fn get_backup_keys(
    cx: Cx,
    caller: Caller,
    request: get_backup_keys::v3::Request,
) -> Result<Pieces> {
    restore(cx, caller, &request.version, None).await
}

/// `GET /_matrix/client/*/room_keys/keys/{roomId}`
async fn get_backup_keys_for_room(
    cx: Cx,
    caller: Caller,
    request: get_backup_keys_for_room::v3::Request,
) -> Result<Pieces> {
    restore(cx, caller, &request.version, Some(request.room_id.to_string())).await
}

/// `GET /_matrix/client/*/room_keys/keys/{roomId}/{sessionId}`
async fn get_backup_keys_for_session(
    cx: Cx,
    caller: Caller,
    request: get_backup_keys_for_session::v3::Request,
) -> Result<get_backup_keys_for_session::v3::Response> {
    let (room_id, session_id) = (Some(request.room_id.to_string()), Some(request.session_id));
    let which = WhichKeys { room_id, session_id };
    let question = GetBackupKeys { version: version(&request.version)?, which, from: None };
    let page = cx.ports.objects.ask(&*caller.user_id, question).await?;
    let found = page.keys.first().ok_or_else(|| Error::not_found("there is no such key"))?;
    let key = Raw::from_json(to_raw_value(&found.key)?);
    Ok(get_backup_keys_for_session::v3::Response::new(key))
}

/// Keys on their way out.
struct Restore {
    cx: Cx,
    caller: Caller,
    /// The next question; none: all has been asked for.
    question: Option<GetBackupKeys>,
    writer: Writer,
}

/// The first page is read before anything is answered: whether there is such a backup.
async fn restore(cx: Cx, caller: Caller, version: &str, room_id: Option<String>) -> Result<Pieces> {
    let writer = Writer::new(room_id.is_none());
    let which = WhichKeys { room_id, session_id: None };
    let question = GetBackupKeys { version: self::version(version)?, which, from: None };
    let mut restore = Restore { cx, caller, question: Some(question), writer };
    let first = restore.next().await?;
    let rest = stream::try_unfold(restore, |mut restore| async move {
        Ok(restore.next().await?.map(|piece| (piece, restore)))
    });
    let first = stream::iter(first.map(Ok));
    Ok(Box::pin(futures_util::StreamExt::chain(first, rest)))
}

impl Restore {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let Some(question) = self.question.take() else { return Ok(None) };
        let page = self.cx.ports.objects.ask(&*self.caller.user_id, question.clone()).await?;
        let BackupPage { keys, next } = page;
        let is_last = next.is_none();
        self.question = next.map(|next| GetBackupKeys { from: Some(next), ..question });
        self.writer.write(&keys, is_last).map(Some)
    }
}

/// Writes keys that come in the order of their rooms.
struct Writer {
    /// Whether rooms are told apart.
    has_rooms: bool,
    /// The room whose sessions are being written.
    room_id: Option<String>,
    has_begun: bool,
}

impl Writer {
    fn new(has_rooms: bool) -> Self {
        Self { has_rooms, room_id: None, has_begun: false }
    }

    fn write(&mut self, keys: &[BackupKey], is_last: bool) -> Result<Bytes> {
        let mut text = String::new();
        if !self.has_begun {
            text.push_str(if self.has_rooms { "{\"rooms\":{" } else { "{\"sessions\":{" });
            self.has_begun = true;
        }
        for BackupKey { room_id, session_id, key } in keys {
            match &self.room_id {
                Some(before) if before == room_id => text.push(','),
                before => {
                    if self.has_rooms {
                        text.push_str(if before.is_some() { "}}," } else { "" });
                        text.push_str(&serde_json::to_string(room_id)?);
                        text.push_str(":{\"sessions\":{");
                    }
                    self.room_id = Some(room_id.clone());
                }
            }
            text.push_str(&serde_json::to_string(session_id)?);
            text.push(':');
            text.push_str(&serde_json::to_string(key)?);
        }
        if is_last {
            text.push_str(if self.has_rooms && self.room_id.is_some() { "}}}}" } else { "}}" });
        }
        Ok(text.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as JsonValue, json};

    use super::*;

    fn keys(ids: &[(&str, &str)]) -> Vec<BackupKey> {
        let key = |(room_id, session_id): &(&str, &str)| BackupKey {
            room_id: (*room_id).to_owned(),
            session_id: (*session_id).to_owned(),
            key: serde_json::from_value(key()).unwrap(),
        };
        ids.iter().map(key).collect()
    }

    fn key() -> JsonValue {
        json!({ "first_message_index": 1, "forwarded_count": 0, "is_verified": true,
            "session_data": {} })
    }

    /// The keys in pages of each size.
    fn written(has_rooms: bool, ids: &[(&str, &str)], page: usize) -> JsonValue {
        let (mut writer, keys) = (Writer::new(has_rooms), keys(ids));
        let pages: Vec<_> = keys.chunks(page).collect();
        let mut text = Vec::new();
        for (index, keys) in pages.iter().enumerate() {
            text.extend(writer.write(keys, index + 1 == pages.len()).unwrap());
        }
        if pages.is_empty() {
            text.extend(writer.write(&[], true).unwrap());
        }
        serde_json::from_slice(&text).unwrap()
    }

    #[test]
    fn keys_come_in_pages() {
        let ids = [("!a:x", "1"), ("!a:x", "2"), ("!b:x", "1"), ("!c\"", "\u{1}"), ("!c\"", "é")];
        let all = json!({ "rooms": {
            "!a:x": { "sessions": { "1": key(), "2": key() } },
            "!b:x": { "sessions": { "1": key() } },
            "!c\"": { "sessions": { "\u{1}": key(), "é": key() } },
        } });
        for page in 1..=5 {
            assert_eq!(written(true, &ids, page), all, "{page}");
            let of_room = json!({ "sessions": { "1": key(), "2": key() } });
            assert_eq!(written(false, &ids[..2], page), of_room, "{page}");
        }
        assert_eq!(written(true, &[], 1), json!({ "rooms": {} }));
        assert_eq!(written(false, &[], 1), json!({ "sessions": {} }));
    }
}
