//! A room of this server: how it is created, and what its members do.

use ruma::{OwnedEventId, owned_device_id, owned_user_id, room_alias_id};
use serde_json::Value as JsonValue;
use skerry::{
    Result,
    messages::{
        Caller,
        room::{Create, MembershipAction},
    },
    ports::Sql as _,
    store::{
        agenda,
        global::{aliases, directory},
    },
};
use skerry_core::SigningKey;

pub(crate) use crate::own_room::{event, membership, message};
use crate::{
    host::SCOPE,
    own_room::{creation, server},
    room::Stand,
};

pub(crate) fn alice() -> Caller {
    Caller { user_id: owned_user_id!("@alice:localhost"), device_id: owned_device_id!("A") }
}

pub(crate) fn bob() -> Caller {
    Caller { user_id: owned_user_id!("@bob:localhost"), device_id: owned_device_id!("B") }
}

impl Stand {
    /// A store, and the room that is about to be created in it.
    pub(crate) async fn open() -> (Self, Create) {
        let server = server("localhost", SigningKey::from_seed([7; 32], "test").unwrap());
        let (room_id, create) = creation(&server, alice());
        (Self::empty(server, &room_id).await, create)
    }

    /// A room that has been created: its effects are done.
    pub(crate) async fn created(change: impl FnOnce(&mut Create)) -> Self {
        let (stand, mut create) = Self::open().await;
        change(&mut create);
        stand.ask_to_the_end(create).await;
        stand
    }

    /// How the room is created.
    pub(crate) fn creation(&self) -> Create {
        creation(&self.server, alice()).1
    }

    /// The name and the members that the directory shows, if it shows the room.
    pub(crate) async fn entry(&self) -> Option<(String, u64)> {
        let page = directory::Page { limit: 10, ..directory::Page::default() };
        let entries = directory::list(&*self.host.sqlite, &page).await.unwrap();
        let entry = entries.into_iter().find(|it| it.room_id == self.room_id)?;
        Some((entry.info.name.unwrap_or_default(), entry.info.joined_members))
    }

    /// Reserves the alias until a time.
    pub(crate) async fn reserve(&self, until_ms: u64) {
        let (alias, creator) = (room_alias_id!("#harbor:localhost"), &alice().user_id);
        let reserve = aliases::reserve(alias, &self.room_id, creator, until_ms);
        self.host.sqlite.batch(vec![reserve]).await.unwrap();
    }

    /// Whether the alias is the room's; none: nobody's.
    pub(crate) async fn has_alias(&self) -> Option<bool> {
        let alias = room_alias_id!("#harbor:localhost");
        let found = aliases::find(&*self.host.sqlite, alias).await.unwrap()?;
        assert_eq!(found.room_id, self.room_id);
        Some(found.reserved_until_ms.is_none())
    }

    /// What stands in the agenda.
    pub(crate) async fn agenda(&self) -> Vec<String> {
        let listed = agenda::list(&*self.host.sqlite, SCOPE).await.unwrap();
        listed.into_iter().map(|(name, _)| name).collect()
    }

    /// Alice says something.
    pub(crate) async fn say(&self, text: &str) -> Result<OwnedEventId> {
        self.ask(message(alice(), text)).await
    }

    /// Alice sends an event.
    pub(crate) async fn send(
        &self,
        event_type: &str,
        state_key: Option<&str>,
        content: JsonValue,
    ) -> Result<OwnedEventId> {
        self.ask(event(alice(), event_type, state_key, &content)).await
    }

    /// Somebody changes their own membership.
    pub(crate) async fn change(&self, caller: Caller, action: MembershipAction) -> Result<()> {
        let target = caller.user_id.clone();
        self.ask(membership(caller, target, action)).await
    }
}
