//! Clients that encrypt: what they say is read by all whom it is for, on one server and over two,
//! and nothing is left that anybody could not decrypt.

use super::{RUST_SDK, conversation::limited, tell, tell_with};
use skerry_tests::{Federated, Homeserver, Host, Synapse};

private_server![
    native: Native => [
        matrix_js_sdk_encrypts_on_one_server,
        matrix_js_sdk_encrypts_between_two_servers,
        what_is_encrypted_while_a_server_is_away_is_read_later,
        what_is_encrypted_while_synapse_or_skerry_is_away_is_read_later,
        matrix_nio_encrypts_between_two_servers,
        matrix_rust_sdk_encrypts_on_one_server,
        matrix_rust_sdk_encrypts_between_two_servers,
        what_is_said_to_who_has_no_device_is_read_by_their_next_one,
    ],
    worker: Worker => [
        matrix_js_sdk_encrypts_on_one_server,
        matrix_js_sdk_encrypts_between_two_servers,
        what_is_encrypted_while_a_server_is_away_is_read_later,
        what_is_encrypted_while_synapse_or_skerry_is_away_is_read_later,
        matrix_nio_encrypts_between_two_servers,
        matrix_rust_sdk_encrypts_on_one_server,
        matrix_rust_sdk_encrypts_between_two_servers,
        what_is_said_to_who_has_no_device_is_read_by_their_next_one,
    ],
];

/// A server of this host, and a native one.
fn two(host: Host) -> (Federated, Federated) {
    (Federated::start(host), Federated::start(Host::Native))
}

async fn matrix_js_sdk_encrypts_on_one_server(host: Host) {
    tell("js-sdk-crypto.mjs", &[limited(host).url()]);
}

async fn matrix_js_sdk_encrypts_between_two_servers(host: Host) {
    let (first, second) = two(host);
    tell("js-sdk-crypto.mjs", &[first.url(), second.url()]);
}

async fn what_is_encrypted_while_a_server_is_away_is_read_later(host: Host) {
    let (mut first, mut second) = two(host);
    let urls = [first.url().to_owned(), second.url().to_owned()];
    tell_with("js-sdk-outage.mjs", &[&urls[0], &urls[1]], |wish| match wish {
        "stop first" => first.kill(),
        "start first" => first.restart(),
        "stop second" => second.kill(),
        "start second" => second.restart(),
        _ => panic!("nobody knows how to {wish}"),
    });
}

async fn what_is_encrypted_while_synapse_or_skerry_is_away_is_read_later(host: Host) {
    let (mut skerry, mut synapse) = (Federated::start(host), Synapse::start());
    let urls = [skerry.url().to_owned(), synapse.url().to_owned()];
    tell_with("js-sdk-outage.mjs", &[&urls[0], &urls[1]], |wish| match wish {
        "stop first" => skerry.kill(),
        "start first" => skerry.restart(),
        "stop second" => synapse.kill(),
        "start second" => synapse.restart(),
        _ => panic!("nobody knows how to {wish}"),
    });
}

async fn matrix_nio_encrypts_between_two_servers(host: Host) {
    let (first, second) = two(host);
    tell("nio-e2e.py", &[first.url(), second.url()]);
}

async fn matrix_rust_sdk_encrypts_on_one_server(host: Host) {
    tell(RUST_SDK, &[limited(host).url()]);
}

async fn matrix_rust_sdk_encrypts_between_two_servers(host: Host) {
    let (first, second) = two(host);
    tell(RUST_SDK, &[first.url(), second.url()]);
}

async fn what_is_said_to_who_has_no_device_is_read_by_their_next_one(host: Host) {
    let (first, second) = two(host);
    tell("js-sdk-dehydration.mjs", &[first.url(), second.url()]);
}
