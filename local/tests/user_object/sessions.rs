//! Sessions: how they begin and end, and who hears of it.

use serde_json::Value as JsonValue;
use skerry::{
    messages::user::{
        Authenticate, ChangePassword, EndSessions, GetDevice, ListDevices, Login, NewSession,
        NewTokens,
    },
    objects::user::limits,
    ports::{ObjectHost as _, Sql as _, Stmt},
};

use super::{
    account::{
        HOUR_MS, OTHER_PASSWORD, Operation, PASSWORD, assert_devices_have_sessions, deactivate,
        is_password, is_valid, lived_in, login, operation, register, secret, session, tokens,
    },
    stand::World,
};
use crate::host::BEGIN_MS;

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

/// C13: expired tokens do not stay for ever.
#[tokio::test]
async fn c13_a_session_that_nobody_refreshes_ends_at_last() {
    let world = lived_in().await;
    let tokens = NewTokens { expires_at_ms: None, refresh_hash: None, ..tokens("f") };
    let session = NewSession { tokens, ..session("F", "f") };
    world.ask(Login { session, ..login("D", "unused") }).await;
    let at_ms = BEGIN_MS + HOUR_MS + limits::SESSION_IDLE_MS;
    world.host.pass(HOUR_MS);
    let refusal = world.try_ask(Authenticate { access_hash: "d".to_owned() }).await.unwrap_err();
    assert_eq!(refusal.to_json()["soft_logout"], true);
    world.host.pass(limits::SESSION_IDLE_MS - 1);
    let world = world.restarted();
    world.alarm().await;
    assert_eq!(
        world.host.alarm_is_set_for_ms(),
        Some(at_ms),
        "set again, also by one that comes early"
    );
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
