//! The black-box suite: what any Matrix client may expect, asked over HTTP of every host.
//!
//! One binary, so that there is one link and one shared server per host. Tests share it and keep
//! apart by unique names; those that restart or configure a server start their own.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, and indexing JSON cannot panic"
)]

/// Runs each of these `async fn(&Server)` on both hosts. Leaving one out is a dead-code error.
macro_rules! both_hosts {
    ($($name:ident),+ $(,)?) => {
        mod native { $(
            #[test]
            fn $name() {
                skerry_tests::on_shared(skerry_tests::Host::Native, super::$name);
            }
        )+ }
        mod worker { $(
            #[test]
            fn $name() {
                skerry_tests::on_shared(skerry_tests::Host::Worker, super::$name);
            }
        )+ }
    };
}

/// Runs each of these `async fn(Host)`, which start their own server, on the named hosts.
macro_rules! private_server {
    ($($module:ident: $host:ident => [$($name:ident),+ $(,)?]),+ $(,)?) => { $(
        mod $module { $(
            #[test]
            fn $name() {
                skerry_tests::on_private(skerry_tests::Host::$host, super::$name);
            }
        )+ }
    )+ };
}

mod account_data;
mod alarms;
mod aliases;
mod answer_sizes;
mod authorization;
mod backfill;
mod bad_events;
mod clients;
mod complete_answers;
mod context;
mod costs;
mod crash;
mod create_room;
mod cross_origin;
mod data_directory;
mod deactivation;
mod devices;
mod discovery;
mod effects;
mod event_format;
mod event_order;
mod federation_joins;
mod federation_reads;
mod federation_remote_joins;
mod federation_requests;
mod federation_sending;
mod federation_transactions;
mod filters;
mod flooding;
mod forks;
mod headers;
mod hidden_history;
mod history_visibility;
mod hostile;
mod ignored_users;
mod input;
mod joins;
mod large_rooms;
mod lazy_loading;
mod login;
mod marked_texts;
mod members;
mod membership;
mod memory;
mod messages;
mod odd_requests;
mod open_endpoints;
mod outsiders;
mod peer_restart;
mod peer_versions;
mod privacy;
mod profiles;
mod public_rooms;
mod races;
mod rate_limits;
mod read_markers;
mod receipts;
mod recovery;
mod redaction;
mod registration;
mod rejoin;
mod remote_members;
mod remote_redactions;
mod resolved_state;
mod restart;
mod room_versions;
mod sending;
mod server_keys;
mod slow_clients;
mod state_contents;
mod state_events;
mod summaries;
mod sync;
mod sync_endings;
mod sync_memberships;
mod sync_pages;
mod sync_state;
mod sync_timeline;
mod sync_tokens;
mod sync_wake;
mod tags;
mod typing;
mod unread;
mod whole_run;
