//! Account data ([spec]), tags and ignored users among it.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#client-config

use std::collections::BTreeMap;

use ruma::{
    OwnedUserId, RoomId, UserId, api::error::ErrorKind, events::room::member::MembershipState,
};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue as RawJsonValue, to_raw_value};

use super::{State, User, limits};
use crate::{
    Error, Result,
    messages::{
        RawJson,
        user::{GetAccountData, SetAccountData, SetTag},
    },
    store::user::{
        account_data::{self, AccountData, GLOBAL},
        rooms,
    },
};

const TAG: &str = "m.tag";
const IGNORED_USER_LIST: &str = "m.ignored_user_list";

/// The content of `m.tag`.
#[derive(Default, Deserialize, Serialize)]
struct Tags {
    #[serde(default)]
    tags: BTreeMap<String, RawJson>,
}

impl User {
    /// Sets account data of the user or of a room.
    pub(super) async fn set_account_data(&self, set: SetAccountData) -> Result<()> {
        let SetAccountData { room_id, event_type, content } = set;
        let mut state = self.lock_in_use().await?;
        if let Some(room_id) = &room_id {
            self.check_joined(room_id).await?;
        }
        let content = content.get().to_owned();
        self.write_account_data(&mut state, room_id.as_deref(), event_type, content).await
    }

    /// Refuses a room that the user is not joined to, as far as their rooms have told them: nobody
    /// fills their store with rooms that do not exist.
    async fn check_joined(&self, room_id: &RoomId) -> Result<()> {
        let room = rooms::find(self.sql(), self.scope(), room_id).await?;
        match room.is_some_and(|it| it.entry.membership == MembershipState::Join) {
            true => Ok(()),
            false => Err(Error::UnknownRoom),
        }
    }

    async fn write_account_data(
        &self,
        state: &mut State,
        room_id: Option<&RoomId>,
        event_type: String,
        content: String,
    ) -> Result<()> {
        let too_large = |message| Err(Error::api(ErrorKind::TooLarge, message));
        if event_type.len() > limits::ACCOUNT_DATA_TYPE_BYTES {
            return too_large("the type is too long");
        }
        if content.len() > limits::ACCOUNT_DATA_BYTES {
            return too_large("the content is too large");
        }
        let (sql, scope) = (self.sql(), self.scope());
        let room = room_id.map_or(GLOBAL, RoomId::as_str);
        let old = account_data::find(sql, scope, room, &event_type).await?;
        if old.is_none()
            && account_data::count(sql, scope, room).await? >= limits::ACCOUNT_DATA_TYPES
        {
            return too_large("there is account data of too many types");
        }
        let it = AccountData { room_id: room.to_owned(), event_type, content };
        let bytes = self.account_data_bytes(state).await?;
        let old_bytes = old.map_or(0, |content| it.bytes_with(&content));
        let others = bytes.saturating_sub(old_bytes);
        let new_bytes = it.bytes_with(&it.content);
        // What takes no more room than before is never refused.
        if new_bytes > old_bytes && others + new_bytes > limits::ACCOUNT_DATA_TOTAL_BYTES {
            return too_large("there is too much account data: remove some of it");
        }
        let seq = state.seq + 1;
        let mut stmts = vec![account_data::upsert(scope, &it, seq)];
        stmts.extend(room_id.map(|room_id| rooms::update_last_seq(scope, room_id, seq)));
        state.account_data_quiet_since = None;
        if it.room_id == GLOBAL && it.event_type == IGNORED_USER_LIST {
            state.ignored_users = None;
        }
        self.commit_step(state, stmts, None).await?;
        state.account_data_bytes = Some(others + new_bytes);
        if let Some(room_id) = room_id {
            state.changed.account_data_changed(&room_id.to_owned(), seq);
        }
        self.host.wake();
        Ok(())
    }

    /// How many bytes of account data there are: counted once, then known.
    async fn account_data_bytes(&self, state: &mut State) -> Result<u64> {
        let bytes = match state.account_data_bytes {
            Some(bytes) => bytes,
            None => account_data::find_bytes(self.sql(), self.scope()).await?,
        };
        state.account_data_bytes = Some(bytes);
        Ok(bytes)
    }

    /// Gets account data of the user or of a room.
    pub(super) async fn get_account_data(&self, get: GetAccountData) -> Result<Option<RawJson>> {
        let GetAccountData { room_id, event_type } = get;
        let _state = self.lock().await?;
        let room = room_id.as_deref().map_or(GLOBAL, RoomId::as_str);
        let content = account_data::find(self.sql(), self.scope(), room, &event_type).await?;
        Ok(content.map(RawJsonValue::from_string).transpose()?)
    }

    /// Sets or removes one tag of a room; the others stay.
    pub(super) async fn set_tag(&self, set: SetTag) -> Result<()> {
        let SetTag { room_id, tag, info } = set;
        if tag.len() > limits::TAG_BYTES {
            return Err(Error::invalid_param("the tag is too long"));
        }
        if info.as_ref().is_some_and(|it| it.get().len() > limits::TAG_INFO_BYTES) {
            return Err(Error::api(ErrorKind::TooLarge, "what is said of the tag is too long"));
        }
        let mut state = self.lock_in_use().await?;
        if info.is_some() {
            self.check_joined(&room_id).await?;
        }
        let stored = account_data::find(self.sql(), self.scope(), room_id.as_str(), TAG).await?;
        // A client may have written anything as account data of that type.
        let mut content: Tags =
            stored.and_then(|it| serde_json::from_str(&it).ok()).unwrap_or_default();
        match info {
            Some(info) => {
                content.tags.insert(tag, info);
            }
            None if content.tags.remove(&tag).is_none() => return Ok(()),
            None => {}
        }
        if content.tags.len() > limits::TAGS_PER_ROOM {
            return Err(Error::api(ErrorKind::TooLarge, "the room has too many tags"));
        }
        let content = to_raw_value(&content)?.get().to_owned();
        self.write_account_data(&mut state, Some(&room_id), TAG.to_owned(), content).await
    }

    /// Whom the user ignores.
    pub(super) async fn list_ignored(&self) -> Result<Vec<OwnedUserId>> {
        let mut state = self.lock().await?;
        self.ignored_users(&mut state).await.cloned()
    }

    /// Whom the user ignores, from memory once they have been read.
    pub(super) async fn ignored_users<'a>(
        &self,
        state: &'a mut State,
    ) -> Result<&'a Vec<OwnedUserId>> {
        let ignored_users = match state.ignored_users.take() {
            Some(known) => known,
            None => self.find_ignored_users().await?,
        };
        Ok(state.ignored_users.insert(ignored_users))
    }

    /// Whom `m.ignored_user_list` names; not the user themselves, who could be locked out of
    /// their own messages by it. In order.
    async fn find_ignored_users(&self) -> Result<Vec<OwnedUserId>> {
        #[derive(Default, Deserialize)]
        struct Content {
            ignored_users: BTreeMap<String, RawJson>,
        }
        let stored =
            account_data::find(self.sql(), self.scope(), GLOBAL, IGNORED_USER_LIST).await?;
        let content: Content =
            stored.and_then(|it| serde_json::from_str(&it).ok()).unwrap_or_default();
        let named = content.ignored_users.into_keys().filter_map(|it| UserId::parse(it).ok());
        Ok(named.filter(|it| *it != self.id).take(limits::IGNORED_USERS).collect())
    }
}
