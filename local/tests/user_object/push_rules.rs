//! Push rules of a user.

use ruma::api::client::push::RuleKind;
use serde_json::json;
use skerry::{
    messages::user::{ChangePushRule, GetPushRules},
    ports::{Sql as _, Stmt},
};
use skerry_core::{
    push_rules::{Change, SERVER_DEFAULT_VERSION},
    sync_token::SyncToken,
};

use super::{account::deactivate, stand::World};
use crate::host::Fate;

pub(crate) fn enabled(rule_id: &str, enabled: bool) -> ChangePushRule {
    let change = Change::SetEnabled(enabled);
    ChangePushRule { kind: RuleKind::Override, rule_id: rule_id.to_owned(), change }
}

#[tokio::test]
async fn a_change_is_told_once_and_kept() {
    let world = World::registered().await;
    let token = SyncToken::at(world.position().await);
    assert!(world.nothing_new(token).await.is_some());
    world.ask(enabled(".m.rule.master", true)).await;
    assert!(world.nothing_new(token).await.is_none());
    let changes = world.changes(Some(token)).await;
    assert!(changes.has_new_push_rules && !changes.push_rules.rules.is_default());
    let world = world.restarted();
    let next = world.changes(Some(SyncToken::at(changes.position))).await;
    assert!(!next.has_new_push_rules && !next.push_rules.rules.is_default());
    let stored = json!(world.ask(GetPushRules {}).await.rules);
    assert_eq!(stored["override"].as_array().unwrap().len(), 1, "{stored}");
    assert_eq!(world.refused(enabled("none", true)).await, 404);
}

#[tokio::test]
async fn a_change_that_fails_leaves_the_rules_as_they_were() {
    let world = World::registered().await;
    world.host.next_commit(Fate::Refused);
    assert!(world.try_ask(enabled(".m.rule.master", true)).await.is_err());
    assert!(world.ask(GetPushRules {}).await.rules.is_default());
}

/// The program was replaced by one that has other server-default rules.
#[tokio::test]
async fn other_server_default_rules_are_told_once() {
    let world = World::registered().await;
    world.ask(enabled(".m.rule.master", true)).await;
    let before = world.changes(None).await;
    let older = Stmt::new("UPDATE user_push_rules SET server_default = 0");
    world.host.sqlite.batch(vec![older]).await.unwrap();
    let world = world.restarted();
    let changes = world.changes(Some(SyncToken::at(before.position))).await;
    assert!(changes.has_new_push_rules && !changes.push_rules.rules.is_default());
    let told = world.count("SELECT server_default FROM user_push_rules").await;
    assert_eq!(told, SERVER_DEFAULT_VERSION);
    let world = world.restarted();
    assert!(!world.changes(Some(SyncToken::at(changes.position))).await.has_new_push_rules);
}

#[tokio::test]
async fn nothing_is_left_of_them_when_the_account_is_closed() {
    let world = World::registered().await;
    world.ask(enabled(".m.rule.master", true)).await;
    world.ask(deactivate()).await;
    assert_eq!(world.count("SELECT COUNT(*) FROM user_push_rules").await, 0);
    assert!(world.ask(GetPushRules {}).await.rules.is_default());
    assert!(world.try_ask(enabled(".m.rule.master", true)).await.is_err());
}
