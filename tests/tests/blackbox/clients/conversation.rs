//! A conversation in clear, on a server whose rate limits are those that it has by default.

use super::tell;
use skerry_tests::{Host, Options, Server};

private_server![
    native: Native => [matrix_js_sdk_holds_a_conversation, matrix_nio_holds_a_conversation],
    worker: Worker => [matrix_js_sdk_holds_a_conversation, matrix_nio_holds_a_conversation],
];

/// A server with the rate limits that it has by default.
pub(super) fn limited(host: Host) -> Server {
    Server::start(host, Options { rate_limits: String::new(), ..Options::default() })
}

async fn matrix_js_sdk_holds_a_conversation(host: Host) {
    tell("js-sdk.mjs", &[limited(host).url()]);
}

async fn matrix_nio_holds_a_conversation(host: Host) {
    tell("nio.py", &[limited(host).url()]);
}
