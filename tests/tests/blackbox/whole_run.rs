//! What holds of a whole run, found out when all other tests have ended.

use skerry_tests::{
    after_all_others,
    secrets::{self, Search},
};

/// What is noted and logged here, so that the search is seen to find something.
const CANARY: &str = "A canary that sings in the log";

/// T13: no token, no password, nothing that users wrote is in the log of any server, which logged
/// as much as it can be made to.
#[test]
fn whatever_was_sent_is_in_no_log() {
    after_all_others(|| {
        let silent = secrets::silent_logs();
        assert!(silent.is_empty(), "not even a start is in the logs of: {silent:#?}");
        secrets::note_text(CANARY);
        secrets::keep_log("the canary", format!("INFO: it listened to \"{CANARY}\""));
        let search = secrets::search();
        let Search { texts, logs, bytes, .. } = search;
        println!("{texts} texts were looked for in {logs} logs of {bytes} bytes");
        let (canary, found): (Vec<_>, Vec<_>) =
            search.found.into_iter().partition(|it| it.starts_with("the canary: "));
        assert_eq!(canary.len(), 1, "{canary:?}");
        let shown: Vec<_> = found.iter().take(20).collect();
        assert!(found.is_empty(), "{} lines, such as {shown:#?}", found.len());
    });
}
