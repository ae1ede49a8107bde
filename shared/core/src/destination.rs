//! How another server is sent what waits for it.

use std::collections::BTreeMap;

use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedRoomId, OwnedUserId, UInt, UserId,
    api::federation::transactions::edu::{
        Edu, PresenceContent, ReceiptContent, ReceiptData, ReceiptMap, TypingContent,
    },
    events::receipt::Receipt,
};

use crate::{
    device_keys::updates::MAX_UPDATES,
    edu::ReadReceipt,
    gather::Gather as _,
    presence::{MAX_STATUSES, MAX_STATUSES_PER_EDU, Status},
};

/// Events of one transaction ([spec]).
///
/// [spec]: https://spec.matrix.org/v1.19/server-server-api/#transactions
pub const MAX_PDUS: usize = 50;

/// What is no event, of one transaction ([spec]).
///
/// [spec]: https://spec.matrix.org/v1.19/server-server-api/#transactions
pub const MAX_EDUS: usize = 100;

/// EDUs of one transaction that have waited in rows of their own.
pub const MAX_QUEUED_EDUS: usize = 30;

/// Bytes of these, about.
pub const QUEUED_TRANSACTION_BYTES: usize = 2 << 20;

/// EDUs that wait in rows of their own.
pub const QUEUE_EDUS: usize = 20_000;

/// Bytes of these.
pub const QUEUE_BYTES: usize = 64 << 20;

/// How long one waits for a server that does not answer, in milliseconds.
pub const QUEUED_FOR_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// EDUs of one transaction that say who types.
pub const MAX_TYPING_EDUS: usize = 20;

/// EDUs of one transaction that say who is there.
pub const MAX_PRESENCE_EDUS: usize = 5;

/// EDUs of one transaction that have receipts.
pub const MAX_RECEIPT_EDUS: usize =
    MAX_EDUS - MAX_QUEUED_EDUS - MAX_TYPING_EDUS - MAX_PRESENCE_EDUS - MAX_DEVICE_EDUS;

/// Users of whose devices one transaction tells.
pub const MAX_DEVICE_USERS: usize = 10;

/// EDUs of one transaction that tell of devices.
pub const MAX_DEVICE_EDUS: usize = MAX_DEVICE_USERS * MAX_UPDATES;

/// Receipts of one transaction, in however few EDUs.
pub const MAX_RECEIPTS: usize = 500;

/// Users and rooms of whom it is kept who types, until the next transaction.
pub const MAX_TYPING: usize = 1_000;

/// How old it may be who types when it is sent, in milliseconds.
pub const TYPING_STALE_MS: u64 = 30_000;

/// Beyond this time without an answer, in milliseconds, a server is given only the newest event of
/// each room when it answers again: it asks for those before as it sees fit.
pub const LONG_OUTAGE_MS: u64 = 60 * 60 * 1000;

/// How long a server that has not answered is left alone, in milliseconds: after the first time,
/// and at most.
const FIRST_RETRY_MS: u64 = 2_000;
const MAX_RETRY_MS: u64 = 60 * 60 * 1000;

/// How long a server is left alone that has not answered so often in a row. The time doubles with
/// each failure; a random number moves it by a quarter to either side, so that not all who wait for
/// a server ask it at the same time.
pub fn retry_after_ms(failures: u32, random: u64) -> u64 {
    let doublings = failures.saturating_sub(1).min(16);
    let middle = (FIRST_RETRY_MS << doublings).min(MAX_RETRY_MS);
    let quarter = middle / 4;
    middle - quarter + random % (2 * quarter + 1)
}

/// What a transaction has space for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Events.
    pub pdus: usize,
    /// Receipts.
    pub receipts: usize,
    /// Users whose devices have changed.
    pub users: usize,
}

impl Default for Space {
    fn default() -> Self {
        Self { pdus: MAX_PDUS, receipts: MAX_RECEIPTS, users: MAX_DEVICE_USERS }
    }
}

impl Space {
    /// So much goes into it.
    pub fn take(&mut self, pdus: usize, receipts: usize, users: usize) {
        self.pdus = self.pdus.saturating_sub(pdus);
        self.receipts = self.receipts.saturating_sub(receipts);
        self.users = self.users.saturating_sub(users);
    }

    /// Whether another room is not to be looked at: what it has of either kind is given in its
    /// order, together with what it has of the other.
    pub fn is_full(self) -> bool {
        self.pdus == 0 || self.receipts == 0 || self.users == 0
    }
}

/// How many of a room's receipts, by whom they are in their order, one transaction can have:
/// `limit` in all, and no more of one user than there are EDUs. An EDU has one of a user in a room.
pub fn fitting_receipts<'a>(users: impl IntoIterator<Item = &'a UserId>, limit: usize) -> usize {
    let mut of_user = BTreeMap::<&UserId, usize>::new();
    let fits = |user_id: &&'a UserId| {
        let count = of_user.entry(user_id).or_default();
        *count += 1;
        *count <= MAX_RECEIPT_EDUS
    };
    users.into_iter().take(limit).take_while(fits).count()
}

/// EDUs with receipts of rooms: as few as can have them.
pub fn receipt_edus(rooms: Vec<(OwnedRoomId, Vec<ReadReceipt>)>) -> Vec<Edu> {
    let mut edus = Vec::<BTreeMap<OwnedRoomId, BTreeMap<OwnedUserId, ReceiptData>>>::new();
    for (room_id, receipts) in rooms {
        let mut of_user = BTreeMap::<OwnedUserId, usize>::new();
        for ReadReceipt { user_id, event_id, thread, ts_ms } in receipts {
            let edu = of_user.entry(user_id.clone()).or_default();
            if *edu == edus.len() {
                edus.push(BTreeMap::new());
            }
            let mut data = Receipt::default();
            data.ts = ts_ms.map(|it| MilliSecondsSinceUnixEpoch(UInt::new_saturating(it)));
            data.thread = thread;
            let data = ReceiptData::new(data, vec![event_id]);
            if let Some(rooms) = edus.get_mut(*edu) {
                rooms.entry(room_id.clone()).or_default().insert(user_id, data);
            }
            *edu += 1;
        }
    }
    let of_rooms = |rooms: BTreeMap<_, _>| {
        let receipts = rooms.into_iter().map(|(room_id, read)| (room_id, ReceiptMap::new(read)));
        Edu::Receipt(ReceiptContent::new(receipts.gather()))
    };
    edus.into_iter().map(of_rooms).collect()
}

/// Who types, as far as the server is still to be told. In memory alone: what is lost with it, or
/// is too old when its turn comes, was true for seconds anyway. Of a user in a room the last word
/// counts.
#[derive(Debug, Default)]
pub struct TypingNews(BTreeMap<(OwnedRoomId, OwnedUserId), (bool, u64)>);

impl TypingNews {
    /// A user types in a room, or does not any more.
    pub fn note(
        &mut self,
        room_id: OwnedRoomId,
        user_id: OwnedUserId,
        is_typing: bool,
        now_ms: u64,
    ) {
        let key = (room_id, user_id);
        if self.0.len() < MAX_TYPING || self.0.contains_key(&key) {
            self.0.insert(key, (is_typing, now_ms));
        }
    }

    /// EDUs for the next transaction, [`MAX_TYPING_EDUS`] at most.
    pub fn take(&mut self, now_ms: u64) -> Vec<Edu> {
        let mut edus = Vec::new();
        while edus.len() < MAX_TYPING_EDUS
            && let Some(((room_id, user_id), (is_typing, noted_ms))) = self.0.pop_first()
        {
            if noted_ms + TYPING_STALE_MS > now_ms {
                edus.push(Edu::Typing(TypingContent::new(room_id, user_id, is_typing)));
            }
        }
        edus
    }

    /// The server does not answer: it need not know.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// How much is kept.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// EDUs that say who is there, of so many that [`MAX_PRESENCE_EDUS`] are enough.
pub fn presence_edus(statuses: BTreeMap<OwnedUserId, Status>, now_ms: u64) -> Vec<Edu> {
    const { assert!(MAX_STATUSES <= MAX_PRESENCE_EDUS * MAX_STATUSES_PER_EDU) };
    let updates: Vec<_> = statuses.into_values().map(|it| it.update(now_ms)).collect();
    let edu = |updates: &[_]| Edu::Presence(PresenceContent::new(updates.to_vec()));
    updates.chunks(MAX_STATUSES_PER_EDU).take(MAX_PRESENCE_EDUS).map(edu).collect()
}

#[cfg(test)]
mod tests {
    use ruma::{
        OwnedEventId, events::receipt::ReceiptThread, owned_event_id, owned_room_id, owned_user_id,
    };
    use serde_json::{Value as JsonValue, json};

    use super::*;

    fn receipt(user_id: OwnedUserId, event_id: OwnedEventId, thread: &str) -> ReadReceipt {
        let thread = Some(thread).filter(|it| !it.is_empty());
        let thread = ReceiptThread::try_from(thread).unwrap();
        ReadReceipt { user_id, event_id, thread, ts_ms: Some(5) }
    }

    fn json_of(edus: &[Edu]) -> Vec<JsonValue> {
        edus.iter().map(|it| serde_json::to_value(it).unwrap()).collect()
    }

    #[test]
    fn receipts_of_many_rooms_go_into_as_few_edus_as_can_have_them() {
        let (ann, bob) = (owned_user_id!("@ann:a"), owned_user_id!("@bob:a"));
        let rooms = vec![
            (
                owned_room_id!("!r:a"),
                vec![
                    receipt(ann.clone(), owned_event_id!("$1"), ""),
                    receipt(bob, owned_event_id!("$2"), "main"),
                    receipt(ann.clone(), owned_event_id!("$3"), "$root"),
                ],
            ),
            (owned_room_id!("!s:a"), vec![receipt(ann, owned_event_id!("$4"), "")]),
        ];
        let at = |event: &str, thread: Option<&str>| match thread {
            None => json!({ "event_ids": [event], "data": { "ts": 5 } }),
            Some(it) => json!({ "event_ids": [event], "data": { "ts": 5, "thread_id": it } }),
        };
        let first = json!({
            "!r:a": { "m.read": { "@ann:a": at("$1", None), "@bob:a": at("$2", Some("main")) } },
            "!s:a": { "m.read": { "@ann:a": at("$4", None) } },
        });
        let second = json!({ "!r:a": { "m.read": { "@ann:a": at("$3", Some("$root")) } } });
        assert_eq!(
            json_of(&receipt_edus(rooms)),
            [
                json!({ "edu_type": "m.receipt", "content": first }),
                json!({ "edu_type": "m.receipt", "content": second }),
            ]
        );
        assert!(receipt_edus(Vec::new()).is_empty());
    }

    #[test]
    fn a_transaction_has_no_more_edus_than_it_may() {
        let (ann, bob) = (owned_user_id!("@ann:a"), owned_user_id!("@bob:a"));
        let users = |ann_s: usize, bob_s: usize| {
            let bob_s = std::iter::repeat_n(&*bob, bob_s);
            std::iter::repeat_n(&*ann, ann_s).chain(bob_s).collect::<Vec<&UserId>>()
        };
        // How many receipts there are of Ann and then of Bob, how many may go; how many do.
        let cases = [
            ((0, 0), 9, 0),
            ((3, 4), 9, 7),
            ((3, 4), 5, 5),
            ((MAX_RECEIPT_EDUS, 4), 500, MAX_RECEIPT_EDUS + 4),
            ((MAX_RECEIPT_EDUS + 1, 4), 500, MAX_RECEIPT_EDUS),
        ];
        for ((ann_s, bob_s), limit, expected) in cases {
            assert_eq!(fitting_receipts(users(ann_s, bob_s), limit), expected, "{ann_s} {bob_s}");
        }
        let of_ann = |it: usize| receipt(ann.clone(), owned_event_id!("$1"), &format!("$t{it}"));
        let receipts: Vec<_> = (0..MAX_RECEIPT_EDUS).map(of_ann).collect();
        let edus = receipt_edus(vec![(owned_room_id!("!r:a"), receipts)]);
        let others = MAX_TYPING_EDUS + MAX_PRESENCE_EDUS + MAX_QUEUED_EDUS;
        assert!(edus.len() + others <= MAX_EDUS, "{}", edus.len());
        let mut space = Space::default();
        assert!(!space.is_full());
        space.take(MAX_PDUS - 1, MAX_RECEIPTS - 1, MAX_DEVICE_USERS - 1);
        assert!(!space.is_full());
        space.take(1, 0, 0);
        assert!(space.is_full());
    }

    #[test]
    fn of_who_types_the_last_word_is_sent_while_it_is_news() {
        let (room, ann) = (owned_room_id!("!r:a"), owned_user_id!("@ann:a"));
        let mut news = TypingNews::default();
        news.note(room.clone(), ann.clone(), true, 1_000);
        news.note(room.clone(), ann.clone(), false, 2_000);
        let content = json!({ "room_id": "!r:a", "user_id": "@ann:a", "typing": false });
        let expected = json!({ "edu_type": "m.typing", "content": content });
        assert_eq!(json_of(&news.take(2_500)), [expected]);
        assert!(news.take(2_500).is_empty(), "it is sent once");
        news.note(room.clone(), ann.clone(), true, 1_000);
        assert!(news.take(1_000 + TYPING_STALE_MS).is_empty(), "it is old");
        news.note(room.clone(), ann, true, 1_000);
        news.clear();
        assert!(news.is_empty());
        for it in 0..MAX_TYPING + 5 {
            news.note(room.clone(), format!("@{it}:a").try_into().unwrap(), true, 1_000);
        }
        assert_eq!(news.len(), MAX_TYPING);
        assert_eq!(news.take(1_000).len(), MAX_TYPING_EDUS);
        assert_eq!(news.len(), MAX_TYPING - MAX_TYPING_EDUS, "the rest comes next");
    }

    #[test]
    fn who_does_not_answer_is_asked_ever_less_often() {
        let cases = [(0, 1_500, 2_500), (1, 1_500, 2_500), (2, 3_000, 5_000), (3, 6_000, 10_000)];
        for (failures, least, most) in cases {
            assert_eq!(retry_after_ms(failures, 0), least, "{failures}");
            assert_eq!(retry_after_ms(failures, most - least), most, "{failures}");
            assert_eq!(retry_after_ms(failures, most - least + 1), least, "{failures}");
        }
        for failures in [12, 100, u32::MAX] {
            assert_eq!(retry_after_ms(failures, 0), 45 * 60 * 1000, "{failures}");
        }
    }
}
