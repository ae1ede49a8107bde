//! What must follow a room's commits elsewhere, and what the room has to do at a later time.

use std::collections::BTreeMap;

use ruma::OwnedRoomAliasId;

use crate::{
    messages::room::Position,
    objects::agenda::{self, Agenda, AgendaPlan},
};

/// The kinds of things that stand in a room's agenda.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// The room's entry in the directory is behind the room.
    Directory,
    /// An alias that was reserved for the room is to become its own.
    Alias,
    /// Rows may have become too old to be kept.
    Expire,
    /// No local user may have to do with the room any more.
    Destroy,
    /// Events wait for others, which are to be asked for.
    Missing,
    /// The room has too many forward extremities.
    Extremities,
    /// Events of the state could not be verified: their keys are to be asked for again.
    Unverified,
    /// The room has become encrypted elsewhere: local members tell of their devices.
    Devices,
}

impl agenda::Due for Due {
    const ALL: &'static [Self] = &[
        Self::Directory,
        Self::Alias,
        Self::Expire,
        Self::Destroy,
        Self::Missing,
        Self::Extremities,
        Self::Unverified,
        Self::Devices,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Alias => "alias",
            Self::Expire => "expire",
            Self::Destroy => "destroy",
            Self::Missing => "missing",
            Self::Extremities => "extremities",
            Self::Unverified => "unverified",
            Self::Devices => "devices",
        }
    }
}

/// What a room in memory knows of its effects.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// What is to be done at a later time.
    pub(crate) agenda: Agenda<Due>,
    /// How often each thing that is due has failed, one time after the other.
    pub(crate) failures: BTreeMap<Due, u32>,
    /// A commit has put effects on the agenda that nobody has begun to bring about yet.
    pub(crate) has_new: bool,
    /// Whether the directory shows the room.
    pub(crate) listed: bool,
    /// Where the room last changed in what the directory shows of it; counts only while
    /// [`Due::Directory`] is due.
    pub(crate) directory_changed: Position,
    /// The alias that was reserved for the room when it was created.
    pub(crate) alias: Option<OwnedRoomAliasId>,
}

/// What a plan changes of a room's effects.
#[derive(Debug, Default)]
pub(crate) struct EffectsPlan {
    /// What is to be done at a later time.
    pub(crate) agenda: AgendaPlan<Due>,
    /// Whether the directory is to show the room.
    pub(crate) listed: bool,
    /// A redaction takes away something that the directory shows.
    pub(crate) redacts_shown: bool,
    /// The current state is replaced as a whole.
    pub(crate) replaces_state: bool,
    /// When the first of the rows that are written becomes too old to be kept.
    pub(crate) expires_ms: Option<u64>,
}
