//! The account in a `User` object over SQLite: each operation is whole or nothing, and what it
//! must cause elsewhere comes about in the end.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/user.rs"]
mod user_host;

use ruma::{OwnedUserId, RoomId, events::room::member::MembershipState, owned_user_id, room_id};
use serde_json::{Value as JsonValue, json};
use skerry::{
    Error,
    messages::{
        Caller,
        room::Position,
        secret::Secret,
        user::{
            Authenticate, ChangePassword, CheckPassword, CreateFilter, Deactivate, Device,
            EndAllSessions, EndSessions, GetAccount, GetDevice, GetProfile, ListDevices, Login,
            Membership, NewSession, NewTokens, Refresh, Register, Reservation, SetAccountData,
            SetDeviceName, SetProfileField,
        },
    },
    objects::user::limits,
    ports::{ObjectHost as _, Sql as _, Stmt},
    store::global::{accounts, registration_tokens},
};
use user_host::{Failure, World};

const PASSWORD: &str = "correct horse battery";
const OTHER_PASSWORD: &str = "another long password";
const HOUR_MS: u64 = 60 * 60 * 1000;

fn ann() -> OwnedUserId {
    owned_user_id!("@ann:localhost")
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn session(device: &str, name: &str) -> NewSession {
    let device = Device {
        device_id: device.into(),
        display_name: None,
        last_seen_ms: None,
        last_seen_ip: None,
    };
    NewSession { device, tokens: tokens(name) }
}

/// Tokens that expire in an hour of the clock's beginning.
fn tokens(name: &str) -> NewTokens {
    NewTokens {
        access_hash: name.to_owned(),
        refresh_hash: Some(format!("{name}-refresh")),
        expires_at_ms: Some(user_host::BEGIN_MS + HOUR_MS),
    }
}

fn register(session: Option<NewSession>) -> Register {
    Register { password: secret(PASSWORD), is_admin: false, reservation: None, session }
}

fn login(device: &str, name: &str) -> Login {
    Login { password: secret(PASSWORD), session: session(device, name) }
}

fn refresh(name: &str, new: &str) -> Refresh {
    Refresh { refresh_hash: format!("{name}-refresh"), tokens: tokens(new) }
}

fn deactivate() -> Deactivate {
    Deactivate { caller: Caller { user_id: ann(), device_id: "D".into() } }
}

fn set_name(name: &str) -> SetProfileField {
    SetProfileField { field: "displayname".to_owned(), value: Some(json!(name)) }
}

fn a_membership(room_id: &RoomId, membership: MembershipState, position: Position) -> Membership {
    Membership {
        room_id: room_id.to_owned(),
        membership,
        position,
        sender: ann(),
        stripped_state: Vec::new(),
    }
}

/// A world with an account that has two devices and a refreshed pair, private things, and rooms.
async fn lived_in() -> World {
    let world = World::new().await;
    world.ask(register(Some(session("D", "d")))).await;
    world.ask(login("E", "e")).await;
    world.ask(refresh("e", "e2")).await;
    world.ask(set_name("Ann")).await;
    world.ask(CreateFilter { filter: user_host::raw(&json!({})) }).await;
    let content = user_host::raw(&json!({ "a": 1 }));
    let set = SetAccountData { room_id: None, event_type: "m.direct".to_owned(), content };
    world.ask(set).await;
    for (room_id, membership) in [
        (room_id!("!a:localhost"), MembershipState::Join),
        (room_id!("!b:localhost"), MembershipState::Invite),
        (room_id!("!c:localhost"), MembershipState::Leave),
    ] {
        world.ask(a_membership(room_id, membership, 1)).await;
    }
    world.drain().await;
    world.asked();
    world
}

/// Whether an access token is accepted.
async fn is_valid(world: &World, access_hash: &str) -> bool {
    world.try_ask(Authenticate { access_hash: access_hash.to_owned() }).await.is_ok()
}

async fn is_password(world: &World, password: &str) -> bool {
    world.ask(CheckPassword { password: secret(password) }).await
}

/// All that is stored of the user, save for what is random: the hash of the password.
async fn stored(world: &World) -> Vec<String> {
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
    ] {
        for mut row in world.host.sqlite.rows(Stmt::new(statement)).await.unwrap() {
            found.push(row.take::<String>(0).unwrap());
        }
    }
    found
}

/// What the user answers that nothing changes by.
async fn answers(world: &World) -> String {
    let profile = world.ask(GetProfile {}).await;
    let mut devices: Vec<_> =
        world.ask(ListDevices {}).await.into_iter().map(|it| it.device_id).collect();
    devices.sort();
    let passwords = [is_password(world, PASSWORD).await, is_password(world, OTHER_PASSWORD).await];
    let tokens = [is_valid(world, "d").await, is_valid(world, "f").await];
    format!("{profile:?} {devices:?} {passwords:?} {tokens:?}")
}

/// The devices are those that have tokens.
async fn assert_devices_have_sessions(world: &World, name: &str) {
    let list = async |statement: &'static str| -> Vec<String> {
        let rows = world.host.sqlite.rows(Stmt::new(statement)).await.unwrap();
        rows.into_iter().map(|mut row| row.take(0).unwrap()).collect()
    };
    let devices = list("SELECT device_id FROM user_devices ORDER BY 1").await;
    let sessions = list("SELECT DISTINCT device_id FROM user_tokens ORDER BY 1").await;
    assert_eq!(devices, sessions, "{name}");
}

/// An operation on an account that exists.
type Operation = fn(&World) -> futures_util::future::BoxFuture<'_, Result<(), Error>>;

macro_rules! operation {
    ($question:expr) => {
        |world| Box::pin(async move { world.try_ask($question).await.map(drop) })
    };
}

const OPERATIONS: &[(&str, Operation)] = &[
    ("login", operation!(login("F", "f"))),
    ("login on a known device", operation!(login("E", "f"))),
    ("first use after a refresh", operation!(Authenticate { access_hash: "e2".to_owned() })),
    ("refresh", operation!(refresh("d", "d2"))),
    ("refresh by an unused pair", operation!(refresh("e2", "e3"))),
    ("logout", operation!(EndSessions { device_ids: vec!["E".into()] })),
    ("logout of all", operation!(EndAllSessions {})),
    (
        "password",
        operation!(ChangePassword { password: secret(OTHER_PASSWORD), only_device: None }),
    ),
    (
        "password, others out",
        operation!(ChangePassword {
            password: secret(OTHER_PASSWORD),
            only_device: Some("D".into()),
        }),
    ),
    (
        "device name",
        operation!(SetDeviceName { device_id: "D".into(), display_name: "phone".to_owned() }),
    ),
    ("profile", operation!(set_name("Anna"))),
    ("deactivation", operation!(deactivate())),
];

/// Review C14, B4: no operation is ever half done, whether its batch was refused or only the
/// answer was lost; and none takes more than one.
#[tokio::test]
async fn an_account_operation_is_one_batch_and_never_half_done() {
    for (name, operation) in OPERATIONS {
        let world = lived_in().await;
        let before = stored(&world).await;
        let commits = world.host.commits();
        operation(&world).await.unwrap();
        assert_eq!(world.host.commits() - commits, 1, "{name}");
        let after = stored(&world).await;
        assert_devices_have_sessions(&world, name).await;
        for (failure, expected) in
            [(Failure::BeforeWriting, &before), (Failure::AfterWriting, &after)]
        {
            let world = lived_in().await;
            world.host.fail_next_commit(failure);
            operation(&world).await.unwrap_err();
            // In the same object, which must not trust its memory, and in one that is built anew.
            assert_eq!(stored(&world).await, *expected, "{name}: {failure:?}");
            let same = answers(&world).await;
            let world = world.restarted();
            assert_eq!(answers(&world).await, same, "{name}: {failure:?}");
        }
    }
}

#[tokio::test]
async fn a_registration_is_whole_or_has_not_been() {
    for (failure, exists) in [(Failure::BeforeWriting, false), (Failure::AfterWriting, true)] {
        let world = World::new().await;
        assert_eq!(world.ask(GetAccount {}).await, None);
        world.host.fail_next_commit(failure);
        world.try_ask(register(Some(session("D", "d")))).await.unwrap_err();
        assert_eq!(world.ask(GetAccount {}).await.is_some(), exists);
        assert_eq!(is_valid(&world, "d").await, exists);
        assert_eq!(world.ask(ListDevices {}).await.len(), usize::from(exists));
        assert_devices_have_sessions(&world, "registration").await;
        assert_eq!(world.try_ask(register(None)).await.is_err(), exists);
    }
}

#[tokio::test]
async fn of_two_registrations_of_one_name_one_makes_the_account() {
    let world = World::new().await;
    let (first, second) = tokio::join!(
        world.try_ask(register(Some(session("D", "first")))),
        world.try_ask(register(Some(session("D", "second")))),
    );
    assert!(first.is_ok() != second.is_ok());
    let loser = [first, second].into_iter().find_map(Result::err).unwrap();
    assert_eq!(loser.to_json()["errcode"], "M_USER_IN_USE");
    assert!(is_valid(&world, "first").await != is_valid(&world, "second").await);
}

#[tokio::test]
async fn a_name_is_taken_for_ever() {
    let world = lived_in().await;
    world.ask(deactivate()).await;
    world.ask(deactivate()).await;
    let refusal = world.try_ask(register(None)).await.unwrap_err();
    assert_eq!(refusal.to_json()["errcode"], "M_USER_IN_USE");
    let refusal = world.try_ask(login("D", "d")).await.unwrap_err();
    assert_eq!(refusal.to_json()["errcode"], "M_USER_DEACTIVATED");
    assert!(!is_password(&world, PASSWORD).await);
    assert!(world.ask(GetAccount {}).await.unwrap().is_deactivated);
    assert_eq!(world.ask(GetProfile {}).await, None);
}

#[tokio::test]
async fn nobody_is_refused_as_a_wrong_password_is() {
    let nobody = World::new().await;
    let unknown = nobody.try_ask(login("D", "d")).await.unwrap_err();
    assert_eq!(stored(&nobody).await, [""; 0], "nothing is made of who does not exist");
    let world = lived_in().await;
    let wrong = Login { password: secret("wrong"), ..login("D", "x") };
    let wrong = world.try_ask(wrong).await.unwrap_err();
    assert_eq!(wrong.to_json(), unknown.to_json());
    assert!(is_valid(&world, "d").await && !is_valid(&world, "x").await);
}

/// A password is checked without the lock. Whatever comes in between, a session that began by the
/// old password is none that outlives the change.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_overlaps_a_password_change_gets_no_session() {
    for _ in 0..10 {
        let world = lived_in().await;
        let change =
            ChangePassword { password: secret(OTHER_PASSWORD), only_device: Some("D".into()) };
        let (login, change) = tokio::join!(world.try_ask(login("F", "f")), world.try_ask(change));
        change.unwrap();
        assert!(!is_valid(&world, "f").await, "{login:?}");
        assert!(is_valid(&world, "d").await);
        assert!(is_password(&world, OTHER_PASSWORD).await && !is_password(&world, PASSWORD).await);
    }
}

#[tokio::test]
async fn a_reserved_use_is_too_old_at_last() {
    let world = World::new().await;
    let until_ms = user_host::BEGIN_MS + 5;
    let with = || {
        let reservation = Some(Reservation { token_hash: "t".to_owned(), until_ms });
        Register { reservation, is_admin: true, ..register(None) }
    };
    world.host.pass(5);
    world.try_ask(with()).await.unwrap_err();
    assert_eq!(world.ask(GetAccount {}).await, None);
}

#[tokio::test]
async fn a_token_is_checked_without_the_store() {
    let world = lived_in().await;
    world.ask(Authenticate { access_hash: "d".to_owned() }).await;
    let reads = world.host.reads();
    for (name, expected) in [("d", true), ("nobody's", false), ("e", true)] {
        assert_eq!(is_valid(&world, name).await, expected, "{name}");
    }
    assert_eq!(world.host.reads(), reads);
}

#[tokio::test]
async fn those_who_remember_tokens_hear_of_every_end() {
    let world = lived_in().await;
    let ends: &[(&str, Operation)] = &[
        ("first use after a refresh", operation!(Authenticate { access_hash: "e2".to_owned() })),
        ("login on a known device", operation!(login("E", "f"))),
        ("logout", operation!(EndSessions { device_ids: vec!["E".into()] })),
        ("deactivation", operation!(deactivate())),
    ];
    for (name, operation) in ends {
        let before = world.host.forgotten();
        operation(&world).await.unwrap();
        assert_eq!(world.host.forgotten(), before + 1, "{name}");
    }
}

#[tokio::test]
async fn who_waits_is_woken_when_their_session_ends() {
    let world = lived_in().await;
    let before = world.host.woken();
    world.ask(EndSessions { device_ids: vec!["E".into()] }).await;
    assert!(world.host.woken() > before);
}

#[tokio::test]
async fn a_session_that_nobody_refreshes_ends_at_last() {
    let world = lived_in().await;
    let tokens = NewTokens { expires_at_ms: None, refresh_hash: None, ..tokens("f") };
    let session = NewSession { tokens, ..session("F", "f") };
    world.ask(Login { password: secret(PASSWORD), session }).await;
    let at_ms = user_host::BEGIN_MS + HOUR_MS + limits::SESSION_IDLE_MS;
    world.host.pass(HOUR_MS);
    let refusal = world.try_ask(Authenticate { access_hash: "d".to_owned() }).await.unwrap_err();
    assert_eq!(refusal.to_json()["soft_logout"], true);
    world.host.pass(limits::SESSION_IDLE_MS - 1);
    let world = world.restarted();
    world.alarm().await;
    assert_eq!(world.host.alarm_at_ms(), Some(at_ms), "set again, also by one that comes early");
    assert_eq!(world.ask(ListDevices {}).await.len(), 3);
    world.host.pass(1);
    world.alarm().await;
    let left = world.ask(ListDevices {}).await;
    assert_eq!(left.len(), 1);
    assert!(world.ask(GetDevice { device_id: "F".into() }).await.is_some());
    assert!(is_valid(&world, "f").await);
    let refusal = world.try_ask(Authenticate { access_hash: "d".to_owned() }).await.unwrap_err();
    assert_eq!(refusal.to_json()["soft_logout"], JsonValue::Null);
    assert_devices_have_sessions(&world, "lapsed").await;
}

#[tokio::test]
async fn the_list_of_accounts_is_brought_up_to_date_until_it_works() {
    let world = World::new().await;
    let list = async |world: &World| accounts::find(&*world.host.sqlite, &ann()).await.unwrap();
    let stmts = vec![
        registration_tokens::upsert("t", Some(1), true),
        registration_tokens::reserve("t", &ann(), user_host::BEGIN_MS),
    ];
    world.host.sqlite.batch(stmts).await.unwrap();
    world.host.global_is_down(true);
    let until_ms = user_host::BEGIN_MS + 1;
    let reservation = Some(Reservation { token_hash: "t".to_owned(), until_ms });
    world.ask(Register { reservation, is_admin: true, ..register(None) }).await;
    world.drain().await;
    assert_eq!(list(&world).await, None);
    for _ in 0..40 {
        let at_ms = world.host.alarm_at_ms().unwrap();
        world.host.pass(at_ms - world.host.clock().now_ms());
        world.alarm().await;
    }
    world.host.global_is_down(false);
    let world = world.restarted();
    let at_ms = world.host.alarm_at_ms().unwrap();
    world.host.pass(at_ms - world.host.clock().now_ms());
    world.alarm().await;
    let listed = list(&world).await.unwrap();
    assert!(listed.is_admin && listed.deactivated_at_ms.is_none());
    let spent = "SELECT COUNT(*) FROM registration_token_uses WHERE is_spent = 1";
    assert_eq!(world.count(spent).await, 1);
    world.ask(deactivate()).await;
    world.drain().await;
    assert!(list(&world).await.unwrap().deactivated_at_ms.is_some());
    assert_eq!(world.count("SELECT COUNT(*) FROM user_outbox").await, 0);
}

#[tokio::test]
async fn a_profile_reaches_every_joined_room_in_the_end() {
    let world = lived_in().await;
    world.ask(a_membership(room_id!("!d:localhost"), MembershipState::Join, 1)).await;
    world.host.rooms.fail("!a:localhost");
    world.ask(set_name("Anna")).await;
    world.drain().await;
    assert_eq!(world.asked().len(), 2, "who fails holds nobody up");
    assert!(world.host.alarm_at_ms().is_some());
    // Meanwhile there is a later name; the next attempt is another process's.
    world.host.rooms.mend();
    world.ask(set_name("Annika")).await;
    let world = world.restarted();
    world.host.pass(HOUR_MS);
    world.alarm().await;
    let asked = world.asked();
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|it| it.1["update_profile"]["displayname"] == "Annika"));
    world.alarm().await;
    assert_eq!(world.asked().len(), 0, "each room is asked until it answers, not longer");
    world.ask(set_name("Annika")).await;
    world.drain().await;
    assert_eq!(world.asked().len(), 0, "nothing has changed");
}

/// Review C4: a later entry replaces an earlier one also while that is under way.
#[tokio::test]
async fn what_is_written_while_an_entry_is_under_way_is_not_lost() {
    let world = lived_in().await;
    world.ask(set_name("Anna")).await;
    world.host.rooms.hold();
    let draining = world.drain();
    let renaming = async {
        world.host.rooms.held().await;
        world.ask(set_name("Annika")).await;
        world.host.rooms.release();
    };
    tokio::join!(draining, renaming);
    world.drain().await;
    let names: Vec<_> =
        world.asked().into_iter().map(|it| it.1["update_profile"]["displayname"].clone()).collect();
    assert_eq!(names, ["Anna", "Annika"]);
}

/// Review C4: what another program wrote stays for it.
#[tokio::test]
async fn an_entry_of_an_unknown_kind_stays_and_holds_nothing_up() {
    let world = lived_in().await;
    let newer = Stmt::new(
        "INSERT INTO user_outbox (scope, kind, about, command, seq, attempts, due_ms) \
         VALUES (?, 'a_newer_kind', '!a:localhost', '{}', 1, 0, 0)",
    );
    world.host.sqlite.batch(vec![newer.bind(world.host.scope())]).await.unwrap();
    world.ask(deactivate()).await;
    world.drain().await;
    assert_eq!(world.asked().len(), 6, "three rooms, to be left and forgotten");
    let kept = "SELECT COUNT(*) FROM user_outbox WHERE kind = 'a_newer_kind' AND attempts = 0";
    assert_eq!(world.count(kept).await, 1);
    assert_eq!(world.count("SELECT COUNT(*) FROM user_outbox").await, 1);
    assert_eq!(world.count("SELECT COUNT(*) FROM agenda WHERE due = 'outbox'").await, 0);
}

#[tokio::test]
async fn a_large_outbox_is_drained_in_bounded_steps() {
    let world = lived_in().await;
    let rooms = limits::OUTBOX_PER_ROUND * limits::OUTBOX_ROUNDS as u64 + 10;
    for number in 0..rooms {
        let room_id = RoomId::parse(format!("!n{number}:localhost")).unwrap();
        world.ask(a_membership(&room_id, MembershipState::Join, 1)).await;
    }
    world.host.rooms.fail("!n0:localhost");
    world.ask(set_name("Anna")).await;
    world.drain().await;
    assert_eq!(world.asked().len() as u64, rooms - 10);
    world.alarm().await;
    let rest = world.asked();
    assert_eq!(rest.len() as u64, 11, "the rest, and none of those twice");
    let failed = "SELECT COUNT(*) FROM user_outbox WHERE about = '!n0:localhost' AND attempts = 1";
    assert_eq!(world.count(failed).await, 1);
}

#[tokio::test]
async fn a_closed_account_leaves_all_rooms_and_nothing_private() {
    let world = lived_in().await;
    // A room that refuses has answered.
    world.host.rooms.refuse();
    world.ask(set_name("Anna")).await;
    world.ask(deactivate()).await;
    world.drain().await;
    let asked = world.asked();
    let is_leaving = |it: &JsonValue| it["change_membership"]["action"] == "leave";
    let left: Vec<_> = asked.iter().filter(|it| is_leaving(&it.1)).map(|it| &it.0).collect();
    let forgotten: Vec<_> =
        asked.iter().filter(|it| it.1["forget"].is_object()).map(|it| &it.0).collect();
    assert_eq!(left.len(), 3, "those that were left before too: {asked:?}");
    assert_eq!(forgotten.len(), 3, "{asked:?}");
    let stored = stored(&world).await;
    assert_eq!(stored, [r#"["account",1,0,0]"#]);
}

#[tokio::test]
async fn a_profile_has_a_size() {
    let world = lived_in().await;
    let set = async |field: &str, chars: usize| {
        let value = Some(json!("ß".repeat(chars)));
        world.try_ask(SetProfileField { field: field.to_owned(), value }).await.is_ok()
    };
    world.ask(SetProfileField { field: "displayname".to_owned(), value: None }).await;
    let most = limits::PROFILE_BYTES;
    assert!(set("a", 10).await);
    assert!(!set("b", most / 2).await, "with the other field it is too large");
    assert!(set("a", (most - 3) / 2).await, "alone it just fits");
    assert!(!set("a", most / 2).await);
    assert_eq!(world.ask(GetProfile {}).await.unwrap().len(), 1);
}

#[tokio::test]
async fn there_are_only_so_many_devices() {
    let world = World::new().await;
    world.ask(register(None)).await;
    let insert = async |count: usize| {
        let stmt = Stmt::new(
            "INSERT INTO user_tokens (scope, access_hash, device_id, is_unconfirmed) \
             SELECT ?, 'h' || value, 'X' || value, 0 FROM json_each(?)",
        );
        let numbers = serde_json::to_string(&(0..count).collect::<Vec<_>>()).unwrap();
        let stmt = stmt.bind(world.host.scope()).bind(numbers);
        world.host.sqlite.batch(vec![stmt]).await.unwrap();
    };
    insert(limits::DEVICES).await;
    let world = world.restarted();
    let refusal = world.try_ask(login("one more", "m")).await.unwrap_err();
    assert_eq!(refusal.status(), 403);
    world.ask(login("X1", "known")).await;
    world.ask(EndSessions { device_ids: vec!["X2".into()] }).await;
    world.ask(login("one more", "m")).await;
}
