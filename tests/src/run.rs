//! Running one test on one host.

use crate::{Federated, Host, Options, Server, Synapse};
use std::{
    future::Future,
    process::Command,
    sync::{Condvar, Mutex, OnceLock},
};

static NATIVE: OnceLock<Server> = OnceLock::new();
static WORKER: OnceLock<Server> = OnceLock::new();
static NATIVE_FEDERATED: OnceLock<Federated> = OnceLock::new();
static WORKER_FEDERATED: OnceLock<Federated> = OnceLock::new();

/// Runs a test on the server that all ordinary tests of this host share, unless `SKERRY_HOSTS`
/// leaves the host out.
pub fn on_shared<F: Future<Output = ()>>(host: Host, test: impl FnOnce(&'static Server) -> F) {
    let _ended = CountsAtItsEnd::new();
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

/// Runs a test on the server of this host, and the Synapse, that all such tests share.
pub fn on_federated<F: Future<Output = ()>>(
    host: Host,
    test: impl FnOnce(&'static Federated, &'static Synapse) -> F,
) {
    let _ended = CountsAtItsEnd::new();
    if !host.selected() {
        return;
    }
    let shared = match host {
        Host::Native => &NATIVE_FEDERATED,
        Host::Worker => &WORKER_FEDERATED,
    };
    let server = shared.get_or_init(|| Federated::start(host));
    block_on(test(server, Synapse::shared()));
}

/// Runs a test that starts its own servers.
pub fn on_private<F: Future<Output = ()>>(host: Host, test: impl FnOnce(Host) -> F) {
    let _ended = CountsAtItsEnd::new();
    if host.selected() {
        block_on(test(host));
    }
}

/// Runs a test after all others of this run that have servers, whose shared ones have ended then.
/// It is the last one by its name, since tests begin in the order of their names; so it has to wait
/// only for those that run beside it.
pub fn after_all_others(test: impl FnOnce()) {
    let tests = tests_of_this_run();
    let own = std::thread::current();
    if let (Some(own), Some(last)) = (own.name().filter(|it| *it != "main"), tests.last()) {
        assert_eq!(own, last, "it waits for the others, and so has to begin after them");
    }
    let count = tests.iter().filter(|it| is_on_host(it)).count();
    let ended = ENDED.0.lock().expect("nobody panics while counting");
    let ended = ENDED.1.wait_while(ended, |ended| *ended < count);
    drop(ended.expect("nobody panics while counting"));
    for shared in [&NATIVE, &WORKER].into_iter().filter_map(OnceLock::get) {
        shared.end();
    }
    for shared in [&NATIVE_FEDERATED, &WORKER_FEDERATED].into_iter().filter_map(OnceLock::get) {
        shared.end();
    }
    test();
}

/// How many tests on a host have ended, however they did.
static ENDED: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

struct CountsAtItsEnd;

impl CountsAtItsEnd {
    fn new() -> Self {
        let thread = std::thread::current();
        let test = thread.name().filter(|it| *it != "main");
        assert!(test.is_none_or(is_on_host), "its module is named after no host: {test:?}");
        Self
    }
}

/// Whether a test is run on a host: a module of it is named after one.
fn is_on_host(test: &str) -> bool {
    let modules = test.rsplit_once("::").map_or("", |it| it.0).split("::");
    modules.into_iter().any(|it| it.starts_with("native") || it.starts_with("worker"))
}

impl Drop for CountsAtItsEnd {
    fn drop(&mut self) {
        if let Ok(mut ended) = ENDED.0.lock() {
            *ended += 1;
            ENDED.1.notify_all();
        }
    }
}

/// The names of the tests that this run was asked for, in their order.
fn tests_of_this_run() -> Vec<String> {
    let mut list = Command::new(std::env::current_exe().expect("a path"));
    let output = list.args(std::env::args_os().skip(1)).arg("--list").output().expect("a list");
    let list = String::from_utf8_lossy(&output.stdout).into_owned();
    list.lines().filter_map(|it| it.strip_suffix(": test")).map(str::to_owned).collect()
}

/// One thread per test, with its own connections: nothing is shared but the server.
fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(test);
}
