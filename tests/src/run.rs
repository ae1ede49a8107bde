//! Running one test on one host.

use crate::{Host, Options, Server};
use std::{future::Future, sync::OnceLock};

/// Runs a test on the server that all ordinary tests of this host share, unless `SKERRY_HOSTS`
/// leaves the host out.
pub fn on_shared<F: Future<Output = ()>>(host: Host, test: impl FnOnce(&'static Server) -> F) {
    static NATIVE: OnceLock<Server> = OnceLock::new();
    static WORKER: OnceLock<Server> = OnceLock::new();
    if !host.selected() {
        return;
    }
    let shared = match host {
        Host::Native => &NATIVE,
        Host::Worker => &WORKER,
    };
    let server = shared.get_or_init(|| Server::start(host, Options::default()));
    block_on(test(server));
}

/// Runs a test that starts its own servers.
pub fn on_private<F: Future<Output = ()>>(host: Host, test: impl FnOnce(Host) -> F) {
    if host.selected() {
        block_on(test(host));
    }
}

/// One thread per test, with its own connections: nothing is shared but the server.
fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(test);
}
