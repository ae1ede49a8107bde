//! How much of the room a member has not read ([spec]).
//!
//! Sending is reading: a member's own event counts as a receipt for it. One in a thread is for
//! that thread, any other for the whole room. None is stored: it is told from the events.
//!
//! What was counted is kept in memory, so that a message costs a reader its own count and not
//! that of everything before it.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#receiving-notifications

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use ruma::{EventId, OwnedEventId, OwnedUserId, UserId};
use skerry_core::dummy_event;

use crate::{
    Result,
    messages::room::{Position, UnreadCount},
    objects::room::{
        Room, limits,
        loaded::{Loaded, memory::Tally, recent::Recent},
        read::audience::is_ignored,
    },
    store::room::{
        receipts,
        unread::{self, Unread},
    },
};

/// The thread of events that are in none.
const MAIN: &str = "main";

/// Whose counts they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    user_id: &'a UserId,
    /// Whose events they do not see, and so do not count, in order.
    ignored: &'a [OwnedUserId],
    /// What tells one such list from another.
    ignored_hash: u64,
}

impl<'a> Reader<'a> {
    /// A user who ignores these others.
    pub(crate) fn new(user_id: &'a UserId, ignored: &'a [OwnedUserId]) -> Self {
        let mut hasher = DefaultHasher::new();
        ignored.hash(&mut hasher);
        Self { user_id, ignored, ignored_hash: hasher.finish() }
    }
}

impl Room {
    /// What of the room a user has not read, outside threads and by thread. `since` is where they
    /// joined: what came before does not count.
    pub(crate) async fn unread(
        &self,
        room: &Loaded,
        reader: Reader<'_>,
        since: Position,
        by_thread: bool,
    ) -> Result<(UnreadCount, BTreeMap<OwnedEventId, UnreadCount>)> {
        let user_id = reader.user_id;
        let known = room.memory.tally(user_id);
        let mut tally = match known.filter(|it| it.ignored_hash == reader.ignored_hash) {
            Some(tally) => tally,
            None => self.new_tally(reader, since).await?,
        };
        let known = room.memory.events_after(tally.upto, |it| matters(it, reader));
        let events = match known {
            Some(events) => events,
            None => {
                let (sql, scope) = (self.sql(), self.scope());
                let most = unread::Limits {
                    scanned: limits::UNREAD_SCANNED_EVENTS,
                    given: limits::UNREAD_EVENTS,
                };
                let mut events =
                    unread::list(sql, scope, tally.upto, user_id, reader.ignored, most).await?;
                events.reverse();
                events
            }
        };
        for event in &events {
            tally.take(event, user_id);
        }
        tally.upto = room.head;
        let counts = tally.counts(by_thread);
        room.memory.remember_tally(user_id, tally);
        Ok(counts)
    }

    /// A tally that has counted nothing yet.
    async fn new_tally(&self, reader: Reader<'_>, since: Position) -> Result<Tally> {
        let ignored_hash = reader.ignored_hash;
        let mut tally = Tally { everywhere: since, ignored_hash, ..Tally::default() };
        for receipt in receipts::list_by_user(self.sql(), self.scope(), reader.user_id).await? {
            let at = receipt.event_position;
            if receipt.thread.is_empty() {
                tally.everywhere = tally.everywhere.max(at);
            } else {
                let read = tally.by_thread.entry(receipt.thread).or_default();
                *read = (*read).max(at);
            }
        }
        tally.upto = tally.everywhere;
        Ok(tally)
    }
}

/// What an event is to a member's counts, if it is anything: another's event that notifies
/// somebody, or one that the member sent. Their own membership is not, because their server
/// writes that into all of their rooms when their profile changes; nor is a dummy event, which
/// their server sends by itself too; nor is what they do not see because they ignore its sender.
fn matters(event: &Recent, reader: Reader<'_>) -> Option<Unread> {
    let Recent { stored, unread } = event;
    let Reader { user_id, ignored, .. } = reader;
    let is_of_them = stored.sender == user_id.as_str();
    let is_their_membership = stored.event_type == "m.room.member"
        && stored.state_key.as_deref() == Some(user_id.as_str());
    let matters = match is_of_them {
        true => !is_their_membership && !dummy_event::is_hidden(&stored.event_type),
        false => (unread.notifies > 0 || unread.mentions.is_some()) && !is_ignored(ignored, stored),
    };
    matters.then(|| unread.clone())
}

impl Tally {
    /// Takes in the next event, in the order of the room.
    fn take(&mut self, event: &Unread, user_id: &UserId) {
        match &event.thread {
            _ if event.sender != user_id.as_str() => self.count(event, user_id),
            Some(root) => {
                self.threads.remove(root);
            }
            None => {
                self.main = UnreadCount::default();
                self.threads.clear();
            }
        }
    }

    /// Counts one event of somebody else.
    fn count(&mut self, event: &Unread, user_id: &UserId) {
        let thread = event.thread.as_deref().unwrap_or(MAIN);
        if self.by_thread.get(thread).is_some_and(|read| *read >= event.position) {
            return;
        }
        let is_mentioned = event.mentions.as_deref().is_some_and(|mentions| {
            serde_json::from_str::<Vec<String>>(mentions)
                .is_ok_and(|it| it.iter().any(|it| it == user_id.as_str()))
        });
        let is_loud = event.notifies > 1 || is_mentioned;
        if event.notifies == 0 && !is_loud {
            return;
        }
        let count = match &event.thread {
            Some(root) => self.threads.entry(root.clone()).or_default(),
            None => &mut self.main,
        };
        let full = limits::UNREAD_EVENTS;
        count.notifications = (count.notifications + 1).min(full);
        count.highlights = (count.highlights + u64::from(is_loud)).min(full);
    }

    /// The counts, threads apart or together with everything else.
    fn counts(&self, by_thread: bool) -> (UnreadCount, BTreeMap<OwnedEventId, UnreadCount>) {
        let mut main = self.main;
        let mut threads = BTreeMap::new();
        for (root, count) in &self.threads {
            match EventId::parse(root) {
                Ok(root) if by_thread => {
                    threads.insert(root, *count);
                }
                _ => {
                    main.notifications += count.notifications;
                    main.highlights += count.highlights;
                }
            }
        }
        (main, threads)
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;
    use crate::store::room::events::StoredEvent;

    fn event(position: Position, notifies: i64, mentions: &str, thread: &str) -> Unread {
        let some = |it: &str| (!it.is_empty()).then(|| it.to_owned());
        let sender = "@bob:b".to_owned();
        Unread { position, sender, notifies, mentions: some(mentions), thread: some(thread) }
    }

    #[test]
    fn what_counts_as_unread() {
        let alice = user_id!("@alice:b");
        let mut tally = Tally::default();
        tally.by_thread.insert("main".into(), 3);
        tally.by_thread.insert("$root".into(), 6);
        tally.count(&event(2, 1, "", ""), alice); // read in the main timeline
        tally.count(&event(4, 1, "", ""), alice);
        tally.count(&event(5, 1, "", "$root"), alice); // read in its thread
        tally.count(&event(7, 1, r#"["@alice:b"]"#, "$root"), alice);
        tally.count(&event(8, 0, r#"["@carol:b"]"#, ""), alice); // not for alice
        tally.count(&event(9, 2, "", ""), alice);
        let (main, threads) = tally.counts(true);
        assert_eq!((main.notifications, main.highlights), (2, 1));
        let thread = threads.values().next().unwrap();
        assert_eq!((thread.notifications, thread.highlights), (1, 1));
        let (all, threads) = tally.counts(false);
        assert_eq!((all.notifications, all.highlights), (3, 2));
        assert!(threads.is_empty());
    }

    #[test]
    fn what_ones_own_events_leave_unread() {
        let alice = user_id!("@alice:b");
        let own = |thread: &str| {
            let sender = alice.to_string();
            Unread { sender, ..event(7, 1, "", thread) }
        };
        let cases = [
            ("nothing was sent", None, (2, 2, 1)),
            ("a message", Some(own("")), (0, 0, 0)),
            ("a message in one of the threads", Some(own("$one")), (2, 0, 1)),
            ("a message in another thread", Some(own("$new")), (2, 2, 1)),
        ];
        for (name, own, expected) in cases {
            let mut tally = Tally::default();
            let read = [(1, ""), (2, ""), (3, "$one"), (4, "$one"), (5, "$two")];
            for (position, thread) in read {
                tally.take(&event(position, 1, "", thread), alice);
            }
            if let Some(own) = &own {
                tally.take(own, alice);
            }
            let counts = |root: &str| tally.threads.get(root).map_or(0, |it| it.notifications);
            let left = (tally.main.notifications, counts("$one"), counts("$two"));
            assert_eq!(left, expected, "{name}");
            tally.take(&event(8, 1, "", ""), alice);
            assert_eq!(tally.main.notifications, expected.0 + 1, "{name}: what comes later");
        }
    }

    #[test]
    fn which_events_matter() {
        let alice = user_id!("@alice:b");
        let recent = |sender: &str, event_type: &str, state_key: Option<&str>, notifies| Recent {
            unread: Unread { sender: sender.into(), ..event(1, notifies, "", "") },
            stored: StoredEvent {
                num: 1,
                position: 1,
                states: None,
                event_id: EventId::parse("$event").unwrap(),
                event_type: event_type.into(),
                state_key: state_key.map(str::to_owned),
                sender: sender.into(),
                json: "{}".into(),
                auth_content: None,
                redacted_by: None,
                replaces: None,
                sent_by: None,
            },
        };
        let cases = [
            ("another's message", recent("@bob:b", "m.room.message", None, 1), true),
            ("another's reaction", recent("@bob:b", "m.reaction", None, 0), false),
            ("an own reaction", recent("@alice:b", "m.reaction", None, 0), true),
            ("an own topic", recent("@alice:b", "m.room.topic", Some(""), 0), true),
            ("a kick", recent("@alice:b", "m.room.member", Some("@bob:b"), 0), true),
            ("an own profile", recent("@alice:b", "m.room.member", Some("@alice:b"), 0), false),
            ("an own dummy event", recent("@alice:b", "org.matrix.dummy_event", None, 0), false),
            ("one they ignore", recent("@eve:b", "m.room.message", None, 1), false),
            ("state of one they ignore", recent("@eve:b", "m.room.tombstone", Some(""), 2), true),
        ];
        let ignored = ["@dan:b", "@eve:b"].map(|it| it.try_into().unwrap());
        let reader = Reader::new(alice, &ignored);
        for (name, recent, expected) in cases {
            assert_eq!(matters(&recent, reader).is_some(), expected, "{name}");
        }
        let nobody = Reader::new(alice, &[]);
        assert_ne!(reader.ignored_hash, nobody.ignored_hash);
    }
}
