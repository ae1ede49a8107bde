//! Who is there.

use super::{both_ways, public_room};
use crate::presence::{setting, status};
use skerry_tests::{Federated, Host, Options, Synapse, Sync};

private_server![
    native: Native => [f17_who_is_there_is_seen_both_ways],
    worker: Worker => [f17_who_is_there_is_seen_both_ways],
];

async fn f17_who_is_there_is_seen_both_ways(host: Host) {
    let options = Options { presence: "on".to_owned(), ..Options::default() };
    let skerry = Federated::start_with(host, options);
    for (home, guest) in both_ways(&skerry, Synapse::shared()).await {
        public_room(&home, &guest).await;
        for (user, other) in [(&home, &guest), (&guest, &home)] {
            let mut watch = other.watch().await;
            for (presence, message) in [("online", "here"), ("unavailable", "away")] {
                setting(user, presence, Some(message)).ok().await;
                let is_so = |sync: &Sync| {
                    let shown = status(sync, &user.id)?;
                    (shown["presence"] == presence && shown["status_msg"] == message).then_some(())
                };
                watch.until(message, is_so).await;
            }
        }
    }
}
