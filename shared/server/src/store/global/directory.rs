//! The room directory: which rooms are shown to everybody, and what is shown of them.

use ruma::{OwnedRoomId, RoomId};

use crate::{
    Error, Result,
    messages::room::PublicInfo,
    ports::{Row, Sql, Stmt, sql::MAX_SAFE_INTEGER},
};

/// The most rooms of one page.
pub const MAX_PAGE: u64 = 500;
/// The most rooms that are counted.
pub const MAX_COUNTED: u64 = 10_000;

/// A room as the directory shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The room.
    pub room_id: OwnedRoomId,
    /// What is shown of it.
    pub info: PublicInfo,
}

/// A place between two entries. Pages are ordered by size, largest first, then by ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The members of the entry beside it.
    pub joined_members: u64,
    /// The ID of the entry beside it.
    pub room_id: String,
}

impl Entry {
    /// The place of this entry.
    pub fn place(&self) -> Place {
        Place { joined_members: self.info.joined_members, room_id: self.room_id.to_string() }
    }
}

/// Which rooms are wanted.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Where the page begins: with what stands after this place. None: with the first.
    pub after: Option<Place>,
    /// The page that ends before this place instead; it too is in the directory's order.
    pub before: Option<Place>,
    /// Only rooms with this in their name, topic or canonical alias, whatever the case.
    pub search: Option<String>,
    /// Only rooms of these types; `None` in the list stands for rooms without a type.
    pub room_types: Option<Vec<Option<String>>>,
    /// The most rooms wanted, at most [`MAX_PAGE`].
    pub limit: u64,
}

/// The number of listed rooms, [`MAX_COUNTED`] if there are more: it is asked with every page.
pub async fn count(global: &dyn Sql) -> Result<u64> {
    let count = Stmt::new("SELECT count(*) FROM (SELECT 1 FROM room_directory LIMIT ?)");
    global.row(count.bind(MAX_COUNTED)).await?.map_or(Ok(0), |mut row| row.take(0))
}

/// A page of listed rooms, in the directory's order. One more than `limit` is never given: ask
/// for one more to learn whether there is more.
pub async fn list(global: &dyn Sql, page: &Page) -> Result<Vec<Entry>> {
    let first = Place { joined_members: MAX_MEMBERS, room_id: String::new() };
    let (sql, place) = match (&page.before, &page.after) {
        (Some(before), _) => (LIST_BEFORE, before),
        (None, after) => (LIST_AFTER, after.as_ref().unwrap_or(&first)),
    };
    let search = page.search.as_deref().map(searchable);
    let types = page.room_types.as_ref().map(|it| serde_json::to_string(&with_blanks(it)));
    let types = types.transpose()?;
    let wanted = |list: Stmt| {
        let list = list.bind(search.clone()).bind(search.clone());
        list.bind(types.clone()).bind(types.clone())
    };
    let beside = Stmt::new(sql).bind(place.joined_members).bind(place.room_id.as_str());
    let list = wanted(wanted(beside).bind(place.joined_members));
    let rows = global.rows(list.bind(page.limit.min(MAX_PAGE))).await?;
    let entries = rows.into_iter().map(entry).collect::<Result<Vec<_>>>();
    match page.before {
        Some(_) => entries.map(|it| it.into_iter().rev().collect()),
        None => entries,
    }
}

/// Lists a room, or brings its entry up to date: what it shows, as of a position of it.
pub fn upsert(room_id: &RoomId, info: &PublicInfo, position: u64) -> Stmt {
    let texts = [&info.name, &info.topic].into_iter().flatten().map(String::as_str);
    let texts = texts.chain(info.canonical_alias.as_ref().map(|it| it.as_str()));
    let search = searchable(&texts.collect::<Vec<_>>().join("\n"));
    Stmt::new(
        "INSERT INTO room_directory (room_id, name, topic, avatar_url, canonical_alias, \
             joined_members, join_rule, world_readable, guest_can_join, room_type, search, \
             updated) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (room_id) DO UPDATE SET \
             name = excluded.name, topic = excluded.topic, avatar_url = excluded.avatar_url, \
             canonical_alias = excluded.canonical_alias, \
             joined_members = excluded.joined_members, join_rule = excluded.join_rule, \
             world_readable = excluded.world_readable, guest_can_join = excluded.guest_can_join, \
             room_type = excluded.room_type, search = excluded.search, updated = excluded.updated \
         WHERE excluded.updated >= updated",
    )
    .bind(room_id.as_str())
    .bind(info.name.clone())
    .bind(info.topic.clone())
    .bind(info.avatar_url.as_ref().map(ToString::to_string))
    .bind(info.canonical_alias.as_ref().map(ToString::to_string))
    .bind(info.joined_members)
    .bind(info.join_rule.as_str())
    .bind(info.world_readable)
    .bind(info.guest_can_join)
    .bind(info.room_type.clone())
    .bind(search)
    .bind(position)
}

/// Takes a room out.
pub fn remove(room_id: &RoomId) -> Stmt {
    Stmt::new("DELETE FROM room_directory WHERE room_id = ?").bind(room_id.as_str())
}

/// Members that no room has.
const MAX_MEMBERS: u64 = MAX_SAFE_INTEGER.unsigned_abs();

/// A page beside a place: what is beside it among rooms of that size, and among others. Two ranges
/// of the index: with one condition, each page would read all that stand before it.
macro_rules! list {
    ($of_that_size:literal, $of_others:literal, $order:literal) => {
        concat!(
            in_range!($of_that_size),
            " UNION ALL ",
            in_range!($of_others),
            " ORDER BY ",
            $order,
            " LIMIT ?"
        )
    };
}

/// The rooms of a range that are wanted.
macro_rules! in_range {
    ($range:literal) => {
        concat!(
            "SELECT room_id, name, topic, avatar_url, canonical_alias, joined_members, join_rule, \
                 world_readable, guest_can_join, room_type \
             FROM room_directory \
             WHERE ",
            $range,
            " AND (? IS NULL OR instr(search, ?) > 0) \
             AND (? IS NULL OR coalesce(room_type, '') IN (SELECT value FROM json_each(?)))"
        )
    };
}

const LIST_AFTER: &str = list!(
    "joined_members = ? AND room_id > ?",
    "joined_members < ?",
    "joined_members DESC, room_id"
);

const LIST_BEFORE: &str = list!(
    "joined_members = ? AND room_id < ?",
    "joined_members > ?",
    "joined_members, room_id DESC"
);

/// `SQLite` folds ASCII only, so the case is taken out here, on both sides.
fn searchable(text: &str) -> String {
    text.to_lowercase()
}

fn with_blanks(room_types: &[Option<String>]) -> Vec<&str> {
    room_types.iter().map(|it| it.as_deref().unwrap_or_default()).collect()
}

fn entry(mut row: Row) -> Result<Entry> {
    let alias: Option<String> = row.take(4)?;
    Ok(Entry {
        room_id: RoomId::parse(row.take::<String>(0)?).map_err(Error::internal)?,
        info: PublicInfo {
            name: row.take(1)?,
            topic: row.take(2)?,
            avatar_url: row.take(3)?,
            canonical_alias: alias.map(TryInto::try_into).transpose().map_err(Error::internal)?,
            joined_members: row.take(5)?,
            join_rule: row.take(6)?,
            world_readable: row.take(7)?,
            guest_can_join: row.take(8)?,
            room_type: row.take(9)?,
            ..PublicInfo::default()
        },
    })
}
