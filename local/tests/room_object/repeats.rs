//! What may be asked twice does the second time what it did the first time: nothing more.

use futures_util::future::BoxFuture;
use ruma::{OwnedEventId, events::receipt::ReceiptThread};
use serde_json::json;
use skerry::{
    Result,
    messages::{
        Ask, Command as _,
        room::{
            Forget, MembershipAction, NewReceipt, ReceiptKind, Redact, Send, SetListed,
            SetReceipts, UpdateProfile,
        },
    },
    ports::{Sql as _, Stmt},
};

use super::stand::{alice, bob, event, membership, message};
use crate::{
    host::{Fate, SCOPE},
    room::Stand,
};

/// What the questions are asked in: a room whose last message is known.
struct Scene {
    stand: Stand,
    said: OwnedEventId,
}

impl Scene {
    /// Alice's room, which bob has joined and left.
    async fn new() -> Self {
        let stand = Stand::created(|_| {}).await;
        for action in [MembershipAction::Join, MembershipAction::Leave] {
            stand.change(bob(), action).await.unwrap();
        }
        let said = stand.say("hello").await.unwrap();
        stand.run_deferred().await;
        Self { stand, said }
    }

    /// All that is stored of the room, save for what says who was told of it.
    async fn stored(&self) -> Vec<String> {
        let mut found = Vec::new();
        for statement in [
            "SELECT json_array('event', num, event_id, redacted_by, sent_by) FROM room_events \
             WHERE scope = ? ORDER BY num",
            "SELECT json_array('transaction', endpoint, subject, transaction_id, position) \
             FROM room_transactions WHERE scope = ? ORDER BY subject, transaction_id",
            "SELECT json_array('delta', type, state_key, state_group, event) \
             FROM room_state_deltas WHERE scope = ? ORDER BY state_group",
            "SELECT json_array('member', user_id, membership, position, forgotten) \
             FROM room_members WHERE scope = ? ORDER BY user_id",
            "SELECT json_array('receipt', user_id, kind, thread, event_id, position) \
             FROM room_receipts WHERE scope = ? ORDER BY user_id, kind",
            "SELECT json_array('meta', listed, alias) FROM room_meta WHERE scope = ?",
        ] {
            let stmt = Stmt::new(statement).bind(SCOPE);
            for mut row in self.stand.host.sqlite.rows(stmt).await.unwrap() {
                found.push(row.take::<String>(0).unwrap());
            }
        }
        found
    }
}

/// A question, and what is answered to it, as text.
type Asked = for<'a> fn(&'a Scene) -> BoxFuture<'a, Result<String>>;

/// Asks a question that says of itself that it may be repeated.
async fn ask<A: Ask<Recipient = skerry::messages::room::ToRoom, Reply: std::fmt::Debug>>(
    scene: &Scene,
    question: A,
) -> Result<String> {
    assert!(A::IS_REPEATABLE);
    scene.stand.ask(question).await.map(|it| format!("{it:?}"))
}

fn name(name: &str) -> Send {
    event(alice(), "m.room.name", Some(""), &json!({ "name": name }))
}

const QUESTIONS: &[(&str, Asked)] = &[
    ("a message", |scene| {
        let send = Send { transaction_id: Some("one".into()), ..message(alice(), "once") };
        Box::pin(ask(scene, send))
    }),
    ("a piece of state", |scene| Box::pin(ask(scene, name("Pier")))),
    ("a redaction", |scene| {
        let redact = Redact {
            caller: alice(),
            event_id: scene.said.clone(),
            reason: None,
            transaction_id: "redact".into(),
        };
        Box::pin(ask(scene, redact))
    }),
    ("forgetting", |scene| Box::pin(ask(scene, Forget { user_id: bob().user_id }))),
    ("a profile", |scene| {
        let update = UpdateProfile {
            user_id: alice().user_id,
            displayname: Some("Alice".to_owned()),
            avatar_url: None,
        };
        Box::pin(ask(scene, update))
    }),
    ("receipts", |scene| {
        let receipt = |kind| NewReceipt {
            kind,
            event_id: scene.said.clone(),
            thread: ReceiptThread::Unthreaded,
        };
        let receipts = vec![receipt(ReceiptKind::Read), receipt(ReceiptKind::ReadPrivate)];
        Box::pin(ask(scene, SetReceipts { user_id: alice().user_id, receipts }))
    }),
    ("listing", |scene| Box::pin(ask(scene, SetListed { user_id: alice().user_id, listed: true }))),
];

/// C10: the answer to a question is lost, as where a stub breaks, and the question is repeated: at
/// once, or by a room that has crashed in between. What is stored and answered is what one question
/// would have come to.
#[tokio::test]
async fn c10_a_question_whose_answer_was_lost_may_be_repeated() {
    for (what, asked) in QUESTIONS {
        let scene = Scene::new().await;
        let before = scene.stored().await;
        let answer = asked(&scene).await.unwrap();
        let once = scene.stored().await;
        assert_ne!(before, once, "{what}");
        assert_eq!(asked(&scene).await.unwrap(), answer, "{what}: an answer that arrived");
        assert_eq!(scene.stored().await, once, "{what}");
        for crashes in [false, true] {
            let mut scene = Scene::new().await;
            scene.stand.host.next_commit(Fate::WrittenAndFailed);
            // Whoever finds that it was written may be answered all the same.
            let first = asked(&scene).await;
            assert!(first.is_err() || first.as_ref().is_ok_and(|it| *it == answer), "{first:?}");
            if crashes {
                scene.stand.crash();
            }
            assert_eq!(asked(&scene).await.unwrap(), answer, "{what}, crashes: {crashes}");
            assert_eq!(scene.stored().await, once, "{what}, crashes: {crashes}");
        }
    }
}

/// C10: a question that would do something else the second time says that it is not repeated.
#[tokio::test]
async fn c10_what_does_something_else_the_second_time_is_not_repeatable() {
    let Scene { stand, .. } = Scene::new().await;
    let change = async |action| {
        let events = stand.host.count("room_events").await;
        let changed = stand.ask(membership(alice(), bob().user_id, action)).await;
        changed.is_ok().then_some(stand.host.count("room_events").await - events)
    };
    let twice = [
        (MembershipAction::Invite, Some(1)),
        (MembershipAction::Kick, None),
        (MembershipAction::Ban, Some(0)),
        (MembershipAction::Unban, None),
    ];
    for (action, second) in twice {
        assert_eq!(change(action).await, Some(1), "{action:?}");
        assert_eq!(change(action).await, second, "{action:?}, again");
    }
    let invite = membership(alice(), bob().user_id, MembershipAction::Invite);
    assert!(!invite.into_command().is_repeatable());
    stand.ask(stand.creation()).await.unwrap_err();
    assert!(!stand.creation().into_command().is_repeatable());
}
