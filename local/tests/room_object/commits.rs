//! A commit that fails, whatever it has written, is followed by a room that sees its store.

use std::time::Duration;

use ruma::{OwnedEventId, api::client::filter::RoomEventFilter};
use serde::Deserialize;
use skerry::messages::{
    Requester,
    room::{Direction, GetMessages},
};
use tokio::time::timeout;

use super::stand::alice;
use crate::{host::Fate, room::Stand};

#[derive(Deserialize)]
struct Event {
    event_id: OwnedEventId,
    content: Content,
}

#[derive(Deserialize)]
struct Content {
    body: Option<String>,
}

/// The messages of the room, oldest first: IDs and texts.
pub(super) async fn messages(stand: &Stand) -> Vec<(OwnedEventId, String)> {
    let question = GetMessages {
        requester: Requester::User(alice()),
        from: None,
        to: None,
        direction: Direction::Forward,
        limit: 100,
        filter: RoomEventFilter::default(),
        ignored_users: Vec::new(),
    };
    let page = stand.ask(question).await.unwrap();
    let events = page.chunk.iter().map(|it| serde_json::from_str::<Event>(it.get()).unwrap());
    events.filter_map(|it| Some((it.event_id, it.content.body?))).collect()
}

/// C6: a commit fails, and nobody knows whether its rows are there.
#[tokio::test]
async fn c6_after_a_failed_commit_the_room_sees_what_is_stored() {
    let cases = [
        (Fate::Refused, vec!["before", "after"]),
        (Fate::WrittenAndFailed, vec!["before", "in doubt", "after"]),
        (Fate::WrittenAndHangs, vec!["before", "in doubt", "after"]),
    ];
    for (fate, expected) in cases {
        let mut stand = Stand::created(|_| {}).await;
        stand.say("before").await.unwrap();
        stand.host.next_commit(fate);
        // Whoever asks may go away.
        let result = timeout(Duration::from_millis(100), stand.say("in doubt")).await;
        assert!(!matches!(result, Ok(Ok(_))), "{fate:?}");
        let seen = messages(&stand).await;
        stand.say("after").await.unwrap_or_else(|error| panic!("{fate:?}: {error:?}"));
        let texts = |it: &[(OwnedEventId, String)]| {
            it.iter().map(|(_, text)| text.clone()).collect::<Vec<_>>()
        };
        assert_eq!(texts(&seen), expected[..expected.len() - 1], "{fate:?}: a reader");
        let in_memory = messages(&stand).await;
        assert_eq!(texts(&in_memory), expected, "{fate:?}");
        stand.crash();
        assert_eq!(messages(&stand).await, in_memory, "{fate:?}: the store says the same");
    }
}

/// C6: as before, of the commit that creates the room.
#[tokio::test]
async fn c6_a_room_whose_creation_failed_is_there_if_it_was_written() {
    for (fate, exists) in [(Fate::Refused, false), (Fate::WrittenAndFailed, true)] {
        let (stand, create) = Stand::open().await;
        stand.host.next_commit(fate);
        stand.ask(create).await.unwrap_err();
        assert_eq!(stand.say("hello").await.is_ok(), exists, "{fate:?}");
    }
}
