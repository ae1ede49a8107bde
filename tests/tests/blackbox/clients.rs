//! Real clients live through the whole story of a conversation, on a server whose rate limits are
//! those that it has by default. `scripts/setup` installs the clients; the file `.tools/env` that
//! it writes puts the right `node` and `python3` first in the path.

use skerry_tests::{Host, Options, Server, repository, secrets};
use std::{fs, process::Command};

private_server![
    native: Native => [matrix_js_sdk_holds_a_conversation, matrix_nio_holds_a_conversation],
    worker: Worker => [matrix_js_sdk_holds_a_conversation, matrix_nio_holds_a_conversation],
];

fn run(program: &str, script: &str, host: Host) {
    let server = Server::start(host, Options { rate_limits: String::new(), ..Options::default() });
    let script = repository().join("tests/clients").join(script);
    // What it says stands in its source, and its tokens are told.
    secrets::note_json(&fs::read(&script).expect("a script"));
    let mut command = Command::new(program);
    let output = command.arg(script).arg(server.url()).env("SKERRY_TELL_TOKENS", "1").output();
    let output = output.unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let told = format!("{}{}", text(&output.stdout), text(&output.stderr));
    let tokens: Vec<_> = told.lines().filter_map(|it| it.strip_prefix("token: ")).collect();
    assert!(!tokens.is_empty(), "{told}");
    tokens.into_iter().for_each(secrets::note_secret);
    assert!(output.status.success(), "{} said {}:\n{told}", program, output.status);
    assert!(told.contains("all done"), "the story ended early:\n{told}");
}

async fn matrix_js_sdk_holds_a_conversation(host: Host) {
    run("node", "js-sdk.mjs", host);
}

async fn matrix_nio_holds_a_conversation(host: Host) {
    run("python3", "nio.py", host);
}
