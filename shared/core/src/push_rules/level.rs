//! What an event comes to.

use ruma::push::Action;

/// What follows from an event for its reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It does not notify.
    #[default]
    Nothing,
    /// It notifies.
    Notify,
    /// It notifies, and is highlighted.
    Highlight,
}

impl Level {
    /// What these actions say. Those of old times say nothing ([spec]).
    ///
    /// [spec]: https://spec.matrix.org/v1.19/client-server-api/#historical-actions
    pub(super) fn of(actions: &[Action]) -> Self {
        let notifies = actions.iter().any(Action::should_notify);
        match notifies && actions.iter().any(Action::is_highlight) {
            true => Self::Highlight,
            false if notifies => Self::Notify,
            false => Self::Nothing,
        }
    }
}
