//! A page of the room directory, as clients and other servers are answered ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3publicrooms

use js_int::UInt;
use ruma::{
    OwnedMxcUri,
    directory::{Filter, PublicRoomsChunk, PublicRoomsChunkInit, RoomNetwork},
};
use serde::Serialize;
use skerry_core::integer;

use super::{Cx, patched::Json};
use crate::{
    Error, Result,
    store::global::directory::{self, Entry, Page, Place},
};

/// Rooms of a page when the client does not say.
const DEFAULT_ROOMS: u64 = 100;

/// Rooms of a page; the store is asked for one more, to know whether there is more.
const MAX_ROOMS: u64 = directory::MAX_PAGE - 1;

/// Bytes of a search term. None of the fields searched is meant to be longer.
const MAX_SEARCH_BYTES: usize = 255;

/// Which page is wanted.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// At most so many rooms.
    pub(super) limit: Option<UInt>,
    /// The token of the page.
    pub(super) since: Option<String>,
    /// Which rooms.
    pub(super) filter: Filter,
    /// Of which network.
    pub(super) network: RoomNetwork,
}

/// A page of the directory.
///
/// # Errors
///
/// `M_INVALID_PARAM`, where there is no such page.
pub(super) async fn page(cx: &Cx, wanted: Wanted) -> Result<Json> {
    let found = match wanted.network {
        // Rooms of other networks come with application services.
        RoomNetwork::ThirdParty(_) => Found::default(),
        _ => find(cx, wanted.limit, wanted.since.as_deref(), &wanted.filter).await?,
    };
    Ok(Json::of(&found)?)
}

/// A page of rooms, as it is answered.
#[derive(Default, Serialize)]
pub(super) struct Found {
    chunk: Vec<Listed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_batch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_batch: Option<String>,
    total_room_count_estimate: u64,
}

impl Found {
    /// What another server has answered.
    pub(super) fn elsewhere(
        rooms: Vec<PublicRoomsChunk>,
        (next_batch, prev_batch): (Option<String>, Option<String>),
        total: Option<u64>,
    ) -> Self {
        let listed =
            |shown: PublicRoomsChunk| Listed { join_rule: shown.join_rule.to_string(), shown };
        let chunk: Vec<_> = rooms.into_iter().map(listed).collect();
        let total = total.unwrap_or_else(|| chunk.len().try_into().unwrap_or(u64::MAX));
        Self { chunk, next_batch, prev_batch, total_room_count_estimate: total }
    }
}

/// Rooms of a page.
pub(super) fn limit(wished: Option<UInt>) -> u64 {
    wished.map(u64::from).filter(|it| *it > 0).unwrap_or(DEFAULT_ROOMS).min(MAX_ROOMS)
}

async fn find(cx: &Cx, limit: Option<UInt>, since: Option<&str>, filter: &Filter) -> Result<Found> {
    let global = &*cx.ports.global;
    let limit = self::limit(limit);
    let since = since.map(Since::parse).transpose()?;
    let (after, before) = match since {
        None => (None, None),
        Some(Since::After(place)) => (Some(place), None),
        Some(Since::Before(place)) => (None, Some(place)),
    };
    let (is_after, is_before) = (after.is_some(), before.is_some());
    let page = Page {
        after,
        before,
        search: search_term(filter)?,
        room_types: room_types(filter),
        limit: limit + 1,
    };
    let mut entries = directory::list(global, &page).await?;
    let total = directory::count(global).await?;
    let is_more = u64::try_from(entries.len()).is_ok_and(|it| it > limit);
    match (is_more, is_before) {
        (true, true) => drop(entries.remove(0)),
        (true, false) => drop(entries.pop()),
        (false, _) => {}
    }
    let (has_next, has_prev) = if is_before { (true, is_more) } else { (is_more, is_after) };
    let token = |entry: Option<&Entry>, since: fn(Place) -> Since| {
        entry.map(|it| since(it.place()).to_string())
    };
    Ok(Found {
        next_batch: has_next.then(|| token(entries.last(), Since::After)).flatten(),
        prev_batch: has_prev.then(|| token(entries.first(), Since::Before)).flatten(),
        total_room_count_estimate: total,
        chunk: entries.into_iter().map(listed).collect(),
    })
}

fn search_term(filter: &Filter) -> Result<Option<String>> {
    let term = filter.generic_search_term.as_deref().map(str::trim).filter(|it| !it.is_empty());
    match term {
        Some(term) if term.len() > MAX_SEARCH_BYTES => {
            Err(Error::invalid_param("the search term is too long"))
        }
        term => Ok(term.map(str::to_owned)),
    }
}

fn room_types(filter: &Filter) -> Option<Vec<Option<String>>> {
    let types = filter.room_types.iter().map(|it| it.as_str().map(str::to_owned));
    (!filter.room_types.is_empty()).then(|| types.collect())
}

/// A room as it is answered. Its join rule is always there, which ruma leaves out where it is
/// `public`.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    shown: PublicRoomsChunk,
    join_rule: String,
}

fn listed(entry: Entry) -> Listed {
    let Entry { room_id, info } = entry;
    let mut chunk = PublicRoomsChunk::from(PublicRoomsChunkInit {
        num_joined_members: UInt::new_saturating(info.joined_members),
        room_id,
        world_readable: info.world_readable,
        guest_can_join: info.guest_can_join,
    });
    chunk.name = info.name;
    chunk.topic = info.topic;
    chunk.avatar_url = info.avatar_url.map(OwnedMxcUri::from);
    chunk.canonical_alias = info.canonical_alias;
    chunk.room_type = info.room_type.map(Into::into);
    Listed { shown: chunk, join_rule: info.join_rule }
}

/// What a token of a page says: the place it begins after or ends before.
#[derive(Debug, PartialEq, Eq)]
enum Since {
    After(Place),
    Before(Place),
}

impl Since {
    fn parse(token: &str) -> Result<Self> {
        let place = |it: &str| {
            let (members, room_id) = it.split_once('_')?;
            let joined_members = integer::parse(members)?;
            Some(Place { joined_members, room_id: room_id.to_owned() })
        };
        let parsed = match token.split_at_checked(1) {
            Some(("n", rest)) => place(rest).map(Self::After),
            Some(("p", rest)) => place(rest).map(Self::Before),
            _ => None,
        };
        parsed.ok_or_else(|| Error::invalid_param("`since` is not a token of a page of rooms"))
    }
}

impl std::fmt::Display for Since {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (side, place) = match self {
            Self::After(place) => ('n', place),
            Self::Before(place) => ('p', place),
        };
        write!(formatter, "{side}{}_{}", place.joined_members, place.room_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_as_they_went() {
        let place = || Place { joined_members: 12, room_id: "!a_b:x.y".to_owned() };
        for since in [Since::After(place()), Since::Before(place())] {
            assert_eq!(Since::parse(&since.to_string()).unwrap(), since);
        }
    }

    #[test]
    fn other_tokens_are_refused() {
        for token in ["", "n", "x1_!a:x.y", "n1", "n-1_!a:x.y", "nx_!a", "n99999999999999999_!a"] {
            assert!(Since::parse(token).is_err(), "{token:?}");
        }
    }
}
