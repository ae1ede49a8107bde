//! Clients that encrypt for users of Synapse, whose clients do the same.

use super::{RUST_SDK, tell};
use skerry_tests::{Federated, Homeserver, Synapse};

beside_synapse![
    matrix_js_sdk_encrypts_in_a_room_of_skerry,
    matrix_js_sdk_encrypts_in_a_room_of_synapse,
    matrix_js_sdk_and_matrix_nio_encrypt_for_each_other,
    matrix_rust_sdk_encrypts_in_a_room_of_skerry,
    matrix_rust_sdk_encrypts_in_a_room_of_synapse,
];

async fn matrix_js_sdk_encrypts_in_a_room_of_skerry(skerry: &Federated, synapse: &Synapse) {
    tell("js-sdk-crypto.mjs", &[skerry.url(), synapse.url()]);
}

async fn matrix_js_sdk_encrypts_in_a_room_of_synapse(skerry: &Federated, synapse: &Synapse) {
    tell("js-sdk-crypto.mjs", &[synapse.url(), skerry.url()]);
}

async fn matrix_js_sdk_and_matrix_nio_encrypt_for_each_other(
    skerry: &Federated,
    synapse: &Synapse,
) {
    tell("js-sdk-nio.mjs", &[skerry.url(), synapse.url()]);
    tell("js-sdk-nio.mjs", &[synapse.url(), skerry.url()]);
}

async fn matrix_rust_sdk_encrypts_in_a_room_of_skerry(skerry: &Federated, synapse: &Synapse) {
    tell(RUST_SDK, &[skerry.url(), synapse.url()]);
}

async fn matrix_rust_sdk_encrypts_in_a_room_of_synapse(skerry: &Federated, synapse: &Synapse) {
    tell(RUST_SDK, &[synapse.url(), skerry.url()]);
}
