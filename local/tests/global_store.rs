//! The statements of the global store on a real database.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use ruma::{RoomAliasId, RoomId, UserId};
use skerry::{
    messages::room::PublicInfo,
    ports::Sql as _,
    store::global::{
        accounts::{self, ListedAccount},
        aliases,
        directory::{self, Entry, Page},
        registration_tokens::{self, RESERVATION_MS},
    },
};
use skerry_local::{sqlite::Sqlite, store};
use tempfile::TempDir;

async fn fresh() -> (TempDir, Sqlite) {
    let directory = tempfile::tempdir().unwrap();
    let sqlite = Sqlite::open(&directory.path().join("data")).await.unwrap();
    store::migrate(&sqlite).await.unwrap();
    (directory, sqlite)
}

fn room(name: &str) -> &RoomId {
    name.try_into().unwrap()
}

async fn put(sqlite: &Sqlite, id: &str, info: PublicInfo, position: u64) {
    let upsert = directory::upsert(room(id), &info, position);
    sqlite.batch(vec![upsert]).await.unwrap();
}

fn info(name: &str, joined_members: u64) -> PublicInfo {
    PublicInfo { name: Some(name.to_owned()), joined_members, ..PublicInfo::default() }
}

/// Four rooms, the largest first: the second and the third have the same size.
async fn four_rooms(sqlite: &Sqlite) {
    let space = PublicInfo { room_type: Some("m.space".to_owned()), ..info("Großer Raum", 9) };
    put(sqlite, "!d:localhost", space, 1).await;
    let about = PublicInfo { topic: Some("ÜBER Boote".to_owned()), ..info("Second", 5) };
    put(sqlite, "!b:localhost", about, 1).await;
    put(sqlite, "!c:localhost", info("100%_sure", 5), 1).await;
    put(sqlite, "!a:localhost", info("Last", 1), 1).await;
    put(sqlite, "!e:localhost", info("Hidden", 99), 1).await;
    sqlite.batch(vec![directory::remove(room("!e:localhost"))]).await.unwrap();
}

fn letters(entries: &[Entry]) -> String {
    entries.iter().filter_map(|it| it.room_id.as_str().chars().nth(1)).collect()
}

async fn list(sqlite: &Sqlite, page: Page) -> String {
    letters(&directory::list(sqlite, &page).await.unwrap())
}

#[tokio::test]
async fn the_directory_is_paged_both_ways() {
    let (_directory, sqlite) = fresh().await;
    four_rooms(&sqlite).await;
    assert_eq!(directory::count(&sqlite).await.unwrap(), 4);
    let page = |limit| Page { limit, ..Page::default() };
    assert_eq!(list(&sqlite, page(10)).await, "dbca");
    let first = directory::list(&sqlite, &page(2)).await.unwrap();
    assert_eq!(letters(&first), "db");
    let after = Page { after: Some(first[1].place()), ..page(2) };
    let second = directory::list(&sqlite, &after).await.unwrap();
    assert_eq!(letters(&second), "ca");
    let after = Page { after: Some(second[1].place()), ..page(2) };
    assert_eq!(list(&sqlite, after).await, "");
    let before = Page { before: Some(second[0].place()), ..page(2) };
    assert_eq!(list(&sqlite, before).await, "db");
    let before = Page { before: Some(second[1].place()), ..page(2) };
    assert_eq!(list(&sqlite, before).await, "bc");
}

#[tokio::test]
async fn the_directory_is_searched_as_text() {
    let (_directory, sqlite) = fresh().await;
    four_rooms(&sqlite).await;
    let cases = [
        ("GROSS", ""),
        ("großer", "d"),
        ("über", "b"),
        ("%", "c"),
        ("_", "c"),
        ("second", "b"),
        ("hidden", ""),
        ("' OR 1=1 --", ""),
    ];
    for (search, expected) in cases {
        let page = Page { search: Some(search.to_owned()), limit: 10, ..Page::default() };
        assert_eq!(list(&sqlite, page).await, expected, "{search}");
    }
    let space = || Some("m.space".to_owned());
    for (types, expected) in
        [(vec![space()], "d"), (vec![None], "bca"), (vec![None, space()], "dbca"), (vec![], "")]
    {
        let page = Page { room_types: Some(types), limit: 10, ..Page::default() };
        assert_eq!(list(&sqlite, page).await, expected);
    }
}

#[tokio::test]
async fn older_news_of_a_room_do_not_overwrite_newer() {
    let (_directory, sqlite) = fresh().await;
    put(&sqlite, "!a:localhost", info("new", 2), 7).await;
    put(&sqlite, "!a:localhost", info("old", 1), 6).await;
    let page = Page { limit: 1, ..Page::default() };
    let entries = directory::list(&sqlite, &page).await.unwrap();
    assert_eq!(entries[0].info, info("new", 2));
}

/// What becomes of an alias by the statements of two rooms. A reservation has its letter in
/// capitals.
#[tokio::test]
async fn an_alias_is_one_rooms_from_its_reservation_on() {
    let (_directory, sqlite) = fresh().await;
    let creator: &UserId = "@alice:localhost".try_into().unwrap();
    let (first, second) = (room("!a:localhost"), room("!b:localhost"));
    let cases = [
        ("reserved", "reserve first", "A"),
        ("reserved twice", "reserve first, reserve second", "A"),
        ("confirmed", "reserve first, confirm first", "a"),
        ("confirmed, then reserved", "reserve first, confirm first, reserve second", "a"),
        ("confirmed by another room", "reserve first, confirm second", "A"),
        ("released", "reserve first, release first", "-"),
        ("released and reserved", "reserve first, release first, reserve second", "B"),
        (
            "confirmed when another has it",
            "reserve first, release first, reserve second, \
          confirm first",
            "B",
        ),
        ("released after it was confirmed", "reserve first, confirm first, release first", "a"),
        ("released by another room", "reserve first, release second", "A"),
        ("removed", "reserve first, confirm first, remove first", "-"),
        ("removed as another room's", "reserve first, confirm first, remove second", "a"),
        ("the room is removed", "reserve first, destroy first", "-"),
    ];
    for (number, (name, steps, leads_to)) in cases.into_iter().enumerate() {
        let alias = RoomAliasId::parse(format!("#case{number}:localhost")).unwrap();
        for step in steps.split(", ") {
            let (what, whose) = step.split_once(' ').unwrap();
            let room_id = if whose == "first" { first } else { second };
            let stmt = match what {
                "reserve" => aliases::reserve(&alias, room_id, creator, 100),
                "confirm" => aliases::update_confirmed(&alias, room_id),
                "release" => aliases::remove_pending(&alias, room_id),
                "remove" => aliases::remove(&alias, room_id),
                _ => aliases::remove_all(room_id),
            };
            sqlite.batch(vec![stmt]).await.unwrap();
        }
        let found = aliases::find(&sqlite, &alias).await.unwrap();
        let found = found.map_or("-", |it| match (it.room_id == first, it.reserved_until_ms) {
            (true, None) => "a",
            (true, Some(100)) => "A",
            (false, None) => "b",
            _ => "B",
        });
        assert_eq!(found, leads_to, "{name}: {steps}");
        sqlite.batch([first, second].map(aliases::remove_all).into()).await.unwrap();
    }
}

#[tokio::test]
async fn a_deactivated_account_stays_listed_as_one() {
    let (_directory, sqlite) = fresh().await;
    let alice: &UserId = "@alice:localhost".try_into().unwrap();
    let listed = ListedAccount { is_admin: true, created_at_ms: 1, deactivated_at_ms: None };
    let gone = ListedAccount { is_admin: false, deactivated_at_ms: Some(2), ..listed };
    for (told, expected) in [(listed, listed), (gone, gone), (listed, gone)] {
        sqlite.batch(vec![accounts::upsert(alice, &told)]).await.unwrap();
        assert_eq!(accounts::find(&sqlite, alice).await.unwrap(), Some(expected));
    }
}

/// Reserves a use, and says whether there was one.
async fn reserve(sqlite: &Sqlite, token: &str, user: &str, now_ms: u64) -> bool {
    let user_id: &UserId = user.try_into().unwrap();
    let stmt = registration_tokens::reserve(token, user_id, now_ms);
    !sqlite.batch(vec![stmt]).await.unwrap()[0].is_empty()
}

#[tokio::test]
async fn the_uses_of_a_registration_token_are_counted_where_they_are_reserved() {
    let (_directory, sqlite) = fresh().await;
    sqlite.batch(vec![registration_tokens::upsert("two", Some(2), false)]).await.unwrap();
    let now_ms = 10 * RESERVATION_MS;
    assert!(!reserve(&sqlite, "unknown", "@a:x", now_ms).await);
    assert!(reserve(&sqlite, "two", "@a:x", now_ms).await);
    assert!(reserve(&sqlite, "two", "@a:x", now_ms + 1).await, "renewed, not counted twice");
    assert!(reserve(&sqlite, "two", "@b:x", now_ms + 2).await);
    assert!(!reserve(&sqlite, "two", "@c:x", now_ms + 3).await);
    let find = async |at_ms| registration_tokens::find(&sqlite, "two", at_ms).await.unwrap();
    assert_eq!(find(now_ms + 3).await, None);
    let spent = registration_tokens::update_spent("two", "@b:x".try_into().unwrap());
    sqlite.batch(vec![spent]).await.unwrap();
    let later_ms = now_ms + 2 * RESERVATION_MS;
    assert!(find(later_ms).await.is_some(), "a reservation that is over may be nobody's");
    assert!(!reserve(&sqlite, "two", "@c:x", later_ms).await, "that is not known yet");
    let overdue = registration_tokens::list_overdue(&sqlite, "two", later_ms).await.unwrap();
    let [overdue] = &*overdue else { panic!("{overdue:?}") };
    assert_eq!(overdue.user_id, "@a:x");
    assert!(reserve(&sqlite, "two", "@a:x", later_ms).await);
    let remove = registration_tokens::remove_overdue(overdue);
    sqlite.batch(vec![remove.clone()]).await.unwrap();
    assert!(!reserve(&sqlite, "two", "@c:x", later_ms).await, "it was renewed meanwhile");
    let later_ms = later_ms + RESERVATION_MS;
    let overdue = registration_tokens::list_overdue(&sqlite, "two", later_ms).await.unwrap();
    sqlite.batch(vec![registration_tokens::remove_overdue(&overdue[0])]).await.unwrap();
    assert!(reserve(&sqlite, "two", "@c:x", later_ms).await);
}

#[tokio::test]
async fn one_account_is_the_first_whatever_token_makes_it() {
    let (_directory, sqlite) = fresh().await;
    let made = sqlite.batch(vec![registration_tokens::insert_for_admin("printed")]).await.unwrap();
    assert_eq!(made[0].len(), 1);
    let again = sqlite.batch(vec![registration_tokens::insert_for_admin("other")]).await.unwrap();
    assert_eq!(again[0].len(), 0, "it is made once");
    let by_operator = async |user: &str| {
        let user_id = user.try_into().unwrap();
        let stmt = registration_tokens::reserve_first("operator", user_id, 1);
        !sqlite.batch(vec![stmt]).await.unwrap()[0].is_empty()
    };
    assert!(by_operator("@a:x").await && by_operator("@a:x").await);
    assert!(!by_operator("@b:x").await);
    assert!(!reserve(&sqlite, "printed", "@b:x", 1).await);
    assert!(!reserve(&sqlite, "printed", "@a:x", 1).await);
}
