//! Finds media that is here, and waits a while for what is awaited.

use std::time::Duration;

use http::StatusCode;
use ruma::api::error::ErrorKind;
use skerry_core::media::Mxc;

use super::unknown;
use crate::{
    Error, Result,
    api::Cx,
    store::global::media::{self, Content, Stored},
};

/// The longest that anybody waits for what is not uploaded yet.
const LONGEST: Duration = Duration::from_mins(1);
/// Between the first two looks. Each pause is half as long again as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Between two looks at most.
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// Looks again and again, until a time.
pub(super) struct Patience {
    until_ms: u64,
    pause: Duration,
}

impl Patience {
    /// That of whoever waits for so long.
    pub(super) fn of(cx: &Cx, timeout: Duration) -> Self {
        let timeout = timeout.min(LONGEST);
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or_default();
        let until_ms = cx.ports.clock.now_ms().saturating_add(timeout_ms);
        Self { until_ms, pause: FIRST_PAUSE }
    }

    /// Waits for the next look.
    ///
    /// # Errors
    ///
    /// `M_NOT_YET_UPLOADED`, where it is at its end.
    pub(super) async fn wait(&mut self, cx: &Cx) -> Result<()> {
        let left_ms = self.until_ms.saturating_sub(cx.ports.clock.now_ms());
        if left_ms == 0 {
            return Err(not_yet_uploaded());
        }
        cx.ports.timer.sleep(self.pause.min(Duration::from_millis(left_ms))).await;
        self.pause = (self.pause * 3 / 2).min(LAST_PAUSE);
        Ok(())
    }
}

/// What is awaited has not come.
pub(super) fn not_yet_uploaded() -> Error {
    let message = "this media has not been uploaded yet: try again later";
    Error::with_status(StatusCode::GATEWAY_TIMEOUT, ErrorKind::NotYetUploaded, message)
}

/// This server's own media; what may still be uploaded is waited for, for so long.
///
/// # Errors
///
/// `M_NOT_FOUND`, `M_NOT_YET_UPLOADED`
pub(in crate::api) async fn own(cx: &Cx, mxc: &Mxc, timeout: Duration) -> Result<Stored> {
    let mut patience = Patience::of(cx, timeout);
    loop {
        let found = media::find(&*cx.ports.global, mxc).await?.ok_or_else(unknown)?;
        match found.content {
            Content::Stored(stored) => return Ok(*stored),
            Content::Awaited(until_ms) if until_ms <= cx.ports.clock.now_ms() => {
                return Err(unknown());
            }
            Content::Awaited(_) => patience.wait(cx).await?,
        }
    }
}
