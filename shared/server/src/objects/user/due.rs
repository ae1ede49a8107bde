//! What a user may have to do at a later time.

use crate::objects::agenda;

/// The kinds of things that stand in a user's agenda.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// Drain the outbox.
    Outbox,
    /// End sessions that nobody has refreshed for long.
    Lapse,
    /// Look whether the user is there still.
    Presence,
    /// Remove what need not be kept any longer.
    Clean,
}

impl agenda::Due for Due {
    const ALL: &'static [Self] = &[Self::Outbox, Self::Lapse, Self::Presence, Self::Clean];

    fn name(self) -> &'static str {
        match self {
            Self::Outbox => "outbox",
            Self::Lapse => "lapse",
            Self::Presence => "presence",
            Self::Clean => "clean",
        }
    }
}
