//! How far a room was read, and when: the marks of one room.

use serde::{Deserialize, Serialize};

use crate::sync_token::Seen;

/// Marks a room may have before they are thinned out.
pub const MAX_MARKS_PER_ROOM: usize = 36;

/// Marks that are left then, and the furthest one.
const MARKS_KEPT: usize = 26;

/// The newest marks are kept whatever their age: several devices ask with recent tokens, and ask
/// again when an answer got lost.
const RECENT_MARKS_KEPT: usize = 12;

/// The marks `(seq, position)` of one room, oldest first: "whoever has seen the stream at `seq`
/// has read the room up to `position`". At most [`MAX_MARKS_PER_ROOM`].
///
/// As JSON it is a short list of pairs, `[[5,9],[7,12]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Marks(Vec<(u64, u64)>);

impl Marks {
    /// How far a client that has seen so much has read the room: the furthest of the marks it
    /// covers. None: it has never read the room.
    pub fn seen_by(&self, seen: Seen) -> Option<u64> {
        let covered = self.0.iter().filter(|(seq, _)| seen.covers(*seq));
        covered.map(|(_, position)| *position).max()
    }

    /// How far the room was read by whoever read furthest. None: nobody has read it.
    pub fn furthest(&self) -> Option<u64> {
        self.0.iter().map(|(_, position)| *position).max()
    }

    /// Records a read, at a position of the stream beyond all others. When there are too many
    /// marks, some of the older ones go.
    pub fn record(&mut self, seq: u64, position: u64) {
        self.0.push((seq, position));
        if self.0.len() > MAX_MARKS_PER_ROOM {
            self.thin_out(seq);
        }
    }

    /// How many marks there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody has read the room.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes marks. Those that stay stand the farther apart the older they are, so that a token
    /// of any age finds one that is not much older than itself. Of each class of age the oldest
    /// stays: it is the one that grows into the next class. The furthest mark always stays,
    /// because it says whether anybody has read the room to its end.
    pub(super) fn thin_out(&mut self, seq: u64) {
        let furthest = self.furthest();
        let recent = self.0.len().saturating_sub(RECENT_MARKS_KEPT);
        let mut last_class = None;
        let mut index = 0;
        self.0.retain(|(mark, position)| {
            let class = Some(seq.saturating_sub(*mark).checked_ilog2());
            let stays = index >= recent || class != last_class || Some(*position) == furthest;
            (index, last_class) = (index + 1, class);
            stays
        });
        let mut surplus = self.0.len().saturating_sub(MARKS_KEPT);
        self.0.retain(|(_, position)| {
            let stays = surplus == 0 || Some(*position) == furthest;
            surplus -= usize::from(!stays);
            stays
        });
    }
}
