//! Questions to other users that are asked by way of this one, who has nothing to do with them.

use futures_util::{StreamExt as _, stream};

use super::{User, limits};
use crate::{
    Result,
    messages::user::{Reply, RunErrands},
};

impl User {
    /// Asks others, side by side. Nothing of this user is looked at, and nothing is written.
    pub(super) async fn run_errands(&self, it: RunErrands) -> Result<Vec<Reply>> {
        let objects = self.host.objects();
        let each = it
            .errands
            .into_iter()
            .map(|(user_id, command)| async move { objects.user(&user_id, command).await });
        // Whoever can be reached is, whatever became of the others.
        let answers: Vec<_> = stream::iter(each).buffered(limits::ERRANDS_AT_ONCE).collect().await;
        answers.into_iter().collect()
    }
}
