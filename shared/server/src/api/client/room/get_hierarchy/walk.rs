//! Walking through a tree of spaces, a page at a time.
//!
//! A room that is here says for itself what is shown of it; of others their servers are asked. A
//! space is walked through once in a tree, however often it is in it, so that no tree is endless.

use std::collections::{BTreeMap, BTreeSet};

use ruma::{OwnedRoomId, OwnedServerName, RoomId, events::room::member::MembershipState};
use skerry_core::{
    hierarchy::{self, Child, MAX_SPACES, Place, Token},
    rate_limits::Bucket,
};

use super::Page;
use crate::{
    Error, Result,
    api::{
        Cx,
        client::room::joined_rooms,
        summary::{
            self, Shown,
            elsewhere::{self, Told},
        },
    },
    messages::{Caller, room::Viewer},
};

/// Rooms that are looked at for one page: those that the user may not know of count too.
const MAX_LOOKED_AT: usize = 200;

/// Rooms for which other servers are asked for one page.
const MAX_ELSEWHERE: usize = 10;

/// How long a page may take before it ends, in milliseconds: other servers may be slow.
const PAGE_MS: u64 = 20_000;

/// Bytes of what is shown on a page, about: a page that has as many ends.
const PAGE_BYTES: usize = 1 << 20;

/// What of a tree is wanted.
pub(super) struct Wanted {
    /// Where it begins.
    pub(super) root: OwnedRoomId,
    /// How far below the root.
    pub(super) max_depth: u64,
    /// Suggested rooms alone.
    pub(super) suggested_only: bool,
    /// Rooms of a page.
    pub(super) limit: usize,
}

/// A walk through a tree.
pub(super) struct Walk<'a> {
    cx: &'a Cx,
    viewer: Viewer,
    caller: Caller,
    wanted: Wanted,
    /// In which rooms the user is, and into which they are invited: asked for once.
    rooms_of_user: Option<(Vec<OwnedRoomId>, Vec<OwnedRoomId>)>,
    levels: Vec<Level>,
    shown: Vec<Shown>,
    shown_bytes: usize,
    /// Rooms that this page has looked at.
    looked_at: BTreeSet<OwnedRoomId>,
    /// Rooms for which other servers were asked.
    elsewhere: usize,
    /// When the page began.
    began_ms: u64,
    /// Spaces that were walked through, on this page and those before.
    known: Vec<u64>,
}

/// A space that is being walked through.
struct Level {
    room_id: OwnedRoomId,
    children: Vec<Child>,
    /// How many of them were looked at.
    done: usize,
    /// What another server shows of those, and which it says nobody here may know of.
    summaries: BTreeMap<OwnedRoomId, Shown>,
    inaccessible: BTreeSet<OwnedRoomId>,
}

impl Level {
    fn place(&self) -> Place {
        let last = self.done.checked_sub(1).and_then(|it| self.children.get(it));
        Place { room_id: self.room_id.clone(), after: last.map(|it| it.room_id.clone()) }
    }
}

impl<'a> Walk<'a> {
    pub(super) fn new(cx: &'a Cx, caller: Caller, wanted: Wanted) -> Self {
        Self {
            cx,
            viewer: Viewer::User(caller.user_id.clone()),
            caller,
            wanted,
            rooms_of_user: None,
            levels: Vec::new(),
            shown: Vec::new(),
            shown_bytes: 0,
            looked_at: BTreeSet::new(),
            elsewhere: 0,
            began_ms: cx.ports.clock.now_ms(),
            known: Vec::new(),
        }
    }

    /// The first page, or the one that a token leads to.
    ///
    /// # Errors
    ///
    /// `M_FORBIDDEN`, where the user may not know of the root, or it is not here.
    pub(super) async fn page(mut self, from: Option<Token>) -> Result<Page> {
        match from {
            Some(token) => self.go_back_to(token).await?,
            None => self.begin().await?,
        }
        while let Some(level) = self.levels.last_mut() {
            let Some(child) = level.children.get(level.done).cloned() else {
                self.levels.pop();
                continue;
            };
            if self.is_full() {
                break;
            }
            if let Some(level) = self.levels.last_mut() {
                level.done += 1;
            }
            if self.looked_at.insert(child.room_id.clone()) {
                self.visit(&child).await?;
            }
        }
        let next_batch = (!self.levels.is_empty()).then(|| self.token().to_string());
        Ok(Page { rooms: self.shown, next_batch })
    }

    /// Whether the page ends here. Each looks at one room at least, so that there is a last one.
    fn is_full(&self) -> bool {
        let is_long = || self.cx.ports.clock.now_ms() >= self.began_ms + PAGE_MS;
        !self.looked_at.is_empty()
            && (self.shown.len() >= self.wanted.limit
                || self.shown_bytes >= PAGE_BYTES
                || self.looked_at.len() >= MAX_LOOKED_AT
                || self.elsewhere >= MAX_ELSEWHERE
                || is_long())
    }

    fn token(&self) -> Token {
        Token {
            max_depth: self.wanted.max_depth,
            suggested_only: self.wanted.suggested_only,
            way: self.levels.iter().map(Level::place).collect(),
            known: self.known.clone(),
        }
    }

    async fn begin(&mut self) -> Result<()> {
        let root = self.wanted.root.clone();
        let found = self.find_here(&root).await?.flatten();
        let (room, children) = found.ok_or_else(may_not_know)?;
        self.show(room, Level::here(&root, children));
        self.looked_at.insert(root);
        Ok(())
    }

    /// Takes up the walk where a page has ended. Where the tree has changed, it goes on from the
    /// last space of the way that is still there.
    async fn go_back_to(&mut self, token: Token) -> Result<()> {
        self.known = token.known;
        for place in token.way {
            let via = match self.levels.last() {
                None => Vec::new(),
                Some(parent) => {
                    let child = parent.children.iter().find(|it| it.room_id == place.room_id);
                    let Some(child) = child else { break };
                    child.via.clone()
                }
            };
            let mut level = match self.find_here(&place.room_id).await? {
                Some(Some((_, children))) => Level::here(&place.room_id, children),
                None if !self.levels.is_empty() => {
                    match self.find_elsewhere(&place.room_id, &via).await? {
                        Some((_, level)) => level,
                        None => break,
                    }
                }
                _ if self.levels.is_empty() => return Err(may_not_know()),
                _ => break,
            };
            let after =
                level.children.iter().position(|it| Some(&it.room_id) == place.after.as_ref());
            level.done = after.map_or(0, |it| it + 1);
            self.levels.push(level);
        }
        Ok(())
    }

    async fn visit(&mut self, child: &Child) -> Result<()> {
        match self.find_here(&child.room_id).await? {
            Some(Some((room, children))) => {
                self.show(room, Level::here(&child.room_id, children));
            }
            // What is here says for itself that it is not to be shown.
            Some(None) => {}
            None => {
                if let Some((room, level)) = self.find_told(child).await? {
                    self.show(room, level);
                }
            }
        }
        Ok(())
    }

    /// A room that is here, and its children. None: it is not here; none in it: it is hidden.
    async fn find_here(&mut self, room_id: &RoomId) -> Result<Option<Option<(Shown, Vec<Child>)>>> {
        let Some(mut room) = summary::find(self.cx, room_id, &self.viewer, true).await? else {
            return Ok(None);
        };
        if !summary::may_know(self.cx, &self.viewer, &room).await? {
            return Ok(Some(None));
        }
        let events = std::mem::take(&mut room.children);
        let events = events.iter().map(|it| it.get());
        let children = hierarchy::children(events, self.wanted.suggested_only);
        Ok(Some(Some((Shown::of(room_id, room), children))))
    }

    /// A child that is not here: as the server shows it that was asked for its parent. Where it is
    /// a space that is to be walked through, servers in it are asked.
    async fn find_told(&mut self, child: &Child) -> Result<Option<(Shown, Level)>> {
        let may_descend = self.may_descend(&child.room_id);
        let Some(parent) = self.levels.last_mut() else { return Ok(None) };
        if parent.inaccessible.contains(&child.room_id) {
            return Ok(None);
        }
        let told = parent.summaries.remove(&child.room_id);
        let is_enough = told.as_ref().is_some_and(|room| !room.is_space() || !may_descend);
        if !is_enough && let Some(found) = self.find_elsewhere(&child.room_id, &child.via).await? {
            return Ok(Some(found));
        }
        let Some(room) = told else { return Ok(None) };
        let is_shown = self.may_know_of(&room).await?;
        Ok(is_shown.then_some((room, Level::here(&child.room_id, Vec::new()))))
    }

    async fn find_elsewhere(
        &mut self,
        room_id: &RoomId,
        via: &[OwnedServerName],
    ) -> Result<Option<(Shown, Level)>> {
        self.elsewhere += 1;
        // Each is as good as a request.
        let user_id = self.caller.user_id.as_str();
        self.cx.ports.limiter.charge(Bucket::Directory, user_id, 1);
        let suggested_only = self.wanted.suggested_only;
        let told = elsewhere::find(self.cx, room_id, via, suggested_only).await;
        let Some(Told { room, children, summaries, inaccessible }) = told else { return Ok(None) };
        if !self.may_know_of(&room).await? {
            return Ok(None);
        }
        Ok(Some((room, Level { summaries, inaccessible, ..Level::here(room_id, children) })))
    }

    async fn may_know_of(&mut self, room: &Shown) -> Result<bool> {
        let user_id = &self.caller.user_id;
        let (joined, invited) = match &mut self.rooms_of_user {
            Some(known) => known,
            unknown => {
                let joined = joined_rooms::list(self.cx, user_id, MembershipState::Join).await?;
                let invited = joined_rooms::list(self.cx, user_id, MembershipState::Invite).await?;
                unknown.insert((joined, invited))
            }
        };
        let membership = match invited.contains(&room.summary.room_id) {
            true => MembershipState::Invite,
            false => MembershipState::Leave,
        };
        Ok(elsewhere::may_know(room, &membership, joined))
    }

    /// Whether a space that comes next is to be walked through.
    fn may_descend(&self, room_id: &RoomId) -> bool {
        let depth = u64::try_from(self.levels.len()).unwrap_or(u64::MAX);
        depth < self.wanted.max_depth
            && self.known.len() < MAX_SPACES
            && !self.known.contains(&hierarchy::sign(room_id))
    }

    /// Puts a room on the page, and goes into it, if it is a space.
    fn show(&mut self, mut room: Shown, level: Level) {
        let room_id = room.summary.room_id.clone();
        let is_entered = room.is_space() && self.may_descend(&room_id);
        let events: Vec<_> = level.children.iter().map(|it| it.event.clone()).collect();
        room.children_state = Some(events);
        self.shown_bytes += serde_json::to_string(&room).map_or(0, |it| it.len());
        self.shown.push(room);
        if is_entered {
            self.known.push(hierarchy::sign(&room_id));
            self.levels.push(level);
        }
    }
}

impl Level {
    /// A space of which nobody else has said anything.
    fn here(room_id: &RoomId, children: Vec<Child>) -> Self {
        Self {
            room_id: room_id.to_owned(),
            children,
            done: 0,
            summaries: BTreeMap::new(),
            inaccessible: BTreeSet::new(),
        }
    }
}

fn may_not_know() -> Error {
    Error::forbidden("you may not know of this room, or it does not exist here")
}
