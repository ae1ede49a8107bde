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

/// Runs each of these `async fn(&Federated, &Synapse)` on both hosts.
macro_rules! beside_synapse {
    ($($name:ident),+ $(,)?) => {
        mod native { $(
            #[test]
            fn $name() {
                skerry_tests::on_federated(skerry_tests::Host::Native, super::$name);
            }
        )+ }
        mod worker { $(
            #[test]
            fn $name() {
                skerry_tests::on_federated(skerry_tests::Host::Worker, super::$name);
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
mod dehydrated_devices;
mod device_lists;
mod devices;
mod discovery;
mod effects;
mod encryption_by_default;
mod event_format;
mod event_order;
mod federation_crashes;
mod federation_dummy_events;
mod federation_edus;
mod federation_events;
mod federation_gaps;
mod federation_hierarchy;
mod federation_invites;
mod federation_inviting;
mod federation_joins;
mod federation_knocks;
mod federation_late_keys;
mod federation_liars;
mod federation_malformed;
mod federation_names;
mod federation_outsiders;
mod federation_policy;
mod federation_presence;
mod federation_reads;
mod federation_refetch;
mod federation_remote_joins;
mod federation_requests;
mod federation_sending;
mod federation_to_device;
mod federation_transactions;
mod federation_whole_joins;
mod filters;
mod flooding;
mod forks;
mod headers;
mod hidden_history;
mod history_visibility;
mod hostile;
mod ignored_users;
mod input;
mod join_errors;
mod joins;
mod key_rotation;
mod keys;
mod keys_changes;
mod keys_federation;
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
mod openid;
mod outsiders;
mod peer_restart;
mod peer_versions;
mod presence;
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
mod remote_directory;
mod remote_members;
mod remote_redactions;
mod resolved_state;
mod restart;
mod room_keys;
mod room_versions;
mod sending;
mod server_keys;
mod slow_clients;
mod state_contents;
mod state_events;
mod summaries;
mod synapse;
mod sync;
mod sync_endings;
mod sync_memberships;
mod sync_pages;
mod sync_state;
mod sync_timeline;
mod sync_tokens;
mod sync_wake;
mod tags;
mod third_party_invites;
mod timestamp_to_event;
mod to_device;
mod typing;
mod unread;
mod whole_run;
