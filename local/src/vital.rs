//! Threads and tasks without which the server cannot serve. When one ends by itself, the process
//! ends with it: whoever started the process starts it again, and everything acknowledged is in
//! the database.

use std::{
    sync::{Arc, OnceLock},
    thread::JoinHandle,
};

use skerry::{Error, Result};
use tokio_util::sync::CancellationToken;

/// Hears when one of them has ended by itself.
#[derive(Clone, Debug, Default)]
pub struct Vital(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    failed: CancellationToken,
    /// The first one that has ended.
    name: OnceLock<&'static str>,
}

impl Vital {
    /// Returns when one of them has ended by itself: what to say of it.
    pub async fn failed(&self) -> Error {
        self.0.failed.cancelled().await;
        let name = self.0.name.get().unwrap_or(&"a part of the server");
        Error::internal(format!("{name} has ended by itself: the server cannot go on without it"))
    }

    /// To be kept by one of them until its end.
    pub(crate) fn guard(&self, name: &'static str) -> Guard {
        Guard { vital: self.clone(), name, is_done: false }
    }

    /// A thread. That its work is done is no failure; an error or a panic is one.
    pub(crate) fn thread(
        &self,
        name: &'static str,
        work: impl FnOnce() -> Result<()> + Send + 'static,
    ) -> Result<JoinHandle<()>> {
        let guard = self.guard(name);
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || match work() {
                Ok(()) => guard.done(),
                Err(Error::Internal(cause)) => tracing::error!(name, cause, "it cannot go on"),
                Err(error) => tracing::error!(name, %error, "it cannot go on"),
            })
            .map_err(Error::internal)
    }
}

/// Tells of an end that was not to be.
pub(crate) struct Guard {
    vital: Vital,
    name: &'static str,
    is_done: bool,
}

impl Guard {
    /// The work is done.
    pub(crate) fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.is_done {
            // Another one may have been first.
            let _ = self.vital.0.name.set(self.name);
            self.vital.0.failed.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_thread_that_panics_is_a_failure_and_one_that_is_done_is_none() {
        let vital = Vital::default();
        vital.thread("sqlite-done", || Ok(())).unwrap().join().unwrap();
        assert!(vital.failed().now_or_never().is_none());
        vital.thread("sqlite-gone", || panic!("as a test")).unwrap().join().unwrap_err();
        let Error::Internal(cause) = vital.failed().await else { panic!("another error") };
        assert!(cause.to_string().starts_with("sqlite-gone"), "{cause}");
    }
}
