//! An account that has lived: its questions, and what is stored and answered of it.

use ruma::{OwnedUserId, RoomId, events::room::member::MembershipState, owned_user_id, room_id};
use serde_json::json;
use skerry::{
    Error,
    messages::{
        Caller,
        room::Position,
        secret::Secret,
        user::{
            Authenticate, CheckPassword, CreateFilter, Deactivate, DeliverToDevice, Device,
            GetProfile, ListDevices, Login, Membership, NewSession, NewTokens, Refresh, Register,
            SetAccountData, SetProfileField,
        },
    },
    ports::{Sql as _, Stmt},
};

use super::stand::{World, raw};
use crate::host::BEGIN_MS;

pub(crate) const PASSWORD: &str = "correct horse battery";
pub(crate) const OTHER_PASSWORD: &str = "another long password";
pub(crate) const HOUR_MS: u64 = 60 * 60 * 1000;

pub(crate) fn ann() -> OwnedUserId {
    owned_user_id!("@ann:localhost")
}

pub(crate) fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

pub(crate) fn session(device: &str, name: &str) -> NewSession {
    let device = Device {
        device_id: device.into(),
        display_name: None,
        last_seen_ms: None,
        last_seen_ip: None,
    };
    NewSession { device, tokens: tokens(name) }
}

/// Tokens that expire in an hour of the clock's beginning.
pub(crate) fn tokens(name: &str) -> NewTokens {
    NewTokens {
        access_hash: name.to_owned(),
        refresh_hash: Some(format!("{name}-refresh")),
        expires_at_ms: Some(BEGIN_MS + HOUR_MS),
    }
}

pub(crate) fn register(session: Option<NewSession>) -> Register {
    let password = secret(PASSWORD);
    Register { password, is_admin: false, reservation: None, session, address: None }
}

pub(crate) fn login(device: &str, name: &str) -> Login {
    Login { password: secret(PASSWORD), session: session(device, name), limited_for_ms: None }
}

pub(crate) fn refresh(name: &str, new: &str) -> Refresh {
    Refresh { refresh_hash: format!("{name}-refresh"), tokens: tokens(new) }
}

pub(crate) fn deactivate() -> Deactivate {
    Deactivate { caller: Caller { user_id: ann(), device_id: "D".into() } }
}

pub(crate) fn set_name(name: &str) -> SetProfileField {
    SetProfileField { field: "displayname".to_owned(), value: Some(json!(name)) }
}

pub(crate) fn a_membership(
    room_id: &RoomId,
    membership: MembershipState,
    position: Position,
) -> Membership {
    Membership {
        room_id: room_id.to_owned(),
        membership,
        position,
        sender: ann(),
        stripped_state: Vec::new(),
        shown: None,
    }
}

/// A world with an account that has two devices and a refreshed pair, private things, and rooms.
pub(crate) async fn lived_in() -> World {
    let world = World::new().await;
    world.ask(register(Some(session("D", "d")))).await;
    world.ask(login("E", "e")).await;
    world.ask(refresh("e", "e2")).await;
    world.ask(set_name("Ann")).await;
    world.ask(CreateFilter { filter: raw(&json!({})) }).await;
    let content = raw(&json!({ "a": 1 }));
    let set = SetAccountData { room_id: None, event_type: "m.direct".to_owned(), content };
    world.ask(set).await;
    for (room_id, membership) in [
        (room_id!("!a:localhost"), MembershipState::Join),
        (room_id!("!b:localhost"), MembershipState::Invite),
        (room_id!("!c:localhost"), MembershipState::Leave),
    ] {
        world.ask(a_membership(room_id, membership, 1)).await;
    }
    let message = super::to_device::message("1", &[("*", json!({ "a": 1 }))]);
    world.ask(DeliverToDevice { messages: vec![message] }).await;
    world.ask(super::backups::create()).await;
    world.ask(super::backups::put(1, &[("!a:localhost", "session", 1)])).await;
    world.drain().await;
    world.rooms.asked();
    world
}

/// Whether an access token is accepted.
pub(crate) async fn is_valid(world: &World, access_hash: &str) -> bool {
    world.try_ask(Authenticate { access_hash: access_hash.to_owned() }).await.is_ok()
}

pub(crate) async fn is_password(world: &World, password: &str) -> bool {
    world.ask(CheckPassword { password: secret(password) }).await
}

/// All that is stored of the user, save for what is random: the hash of the password.
pub(crate) async fn stored(world: &World) -> Vec<String> {
    let mut found = Vec::new();
    for statement in [
        "SELECT json_array('account', password_hash IS NULL, is_admin, \
         deactivated_at_ms IS NULL) FROM user_account",
        "SELECT json_array('tokens', access_hash, device_id, is_unconfirmed) FROM user_tokens",
        "SELECT json_array('device', device_id, display_name) FROM user_devices",
        "SELECT json_array('profile', field, value) FROM user_profile",
        "SELECT json_array('account data', type) FROM user_account_data",
        "SELECT json_array('filter', filter_id) FROM user_filters",
        "SELECT json_array('outbox', kind, about) FROM user_outbox",
        "SELECT json_array('backup', version) FROM user_backups",
        "SELECT json_array('to device', device_id) FROM user_to_device",
        "SELECT json_array('to device seen', until_ms) FROM user_to_device_seen",
    ] {
        for mut row in world.host.sqlite.rows(Stmt::new(statement)).await.unwrap() {
            found.push(row.take::<String>(0).unwrap());
        }
    }
    found
}

/// What the user answers that nothing changes by.
pub(crate) async fn answers(world: &World) -> String {
    let profile = world.ask(GetProfile {}).await;
    let mut devices: Vec<_> =
        world.ask(ListDevices {}).await.into_iter().map(|it| it.device_id).collect();
    devices.sort();
    let passwords = [is_password(world, PASSWORD).await, is_password(world, OTHER_PASSWORD).await];
    let tokens = [is_valid(world, "d").await, is_valid(world, "f").await];
    format!("{profile:?} {devices:?} {passwords:?} {tokens:?}")
}

/// The devices are those that have tokens.
pub(crate) async fn assert_devices_have_sessions(world: &World, name: &str) {
    let list = async |statement: &'static str| -> Vec<String> {
        let rows = world.host.sqlite.rows(Stmt::new(statement)).await.unwrap();
        rows.into_iter().map(|mut row| row.take(0).unwrap()).collect()
    };
    let devices = list("SELECT device_id FROM user_devices ORDER BY 1").await;
    let sessions = list("SELECT DISTINCT device_id FROM user_tokens ORDER BY 1").await;
    assert_eq!(devices, sessions, "{name}");
}

/// An operation on an account that exists.
pub(crate) type Operation = fn(&World) -> futures_util::future::BoxFuture<'_, Result<(), Error>>;

/// An operation that is one question.
macro_rules! operation {
    ($question:expr) => {
        |world| Box::pin(async move { world.try_ask($question).await.map(drop) })
    };
}
pub(crate) use operation;
