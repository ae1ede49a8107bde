//! Endpoints of files: their requests have bodies that are no JSON, or their answers are none. What
//! comes and goes is a stream.

use std::future::Future;

use ruma::api::IncomingRequest;

use super::{Cx, answer::Answer, input::Raw, sender::Sender};
use crate::Result;

/// The function of an endpoint of files.
pub(super) trait RawHandler<Given>: Copy + Send + Sync + 'static {
    /// What it is given of who sends the request.
    type Sender: Sender;
    /// What it answers, without its body.
    type Request: IncomingRequest + Send + 'static;

    /// Answers a request.
    fn handle(
        self,
        cx: Cx,
        sender: Self::Sender,
        request: Self::Request,
        raw: Raw,
    ) -> impl Future<Output = Result<Answer>> + Send;
}

impl<S, R, H, F> RawHandler<(S, R)> for H
where
    S: Sender,
    R: IncomingRequest + Send + 'static,
    H: Fn(Cx, S, R, Raw) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = Result<Answer>> + Send + 'static,
{
    type Sender = S;
    type Request = R;

    fn handle(
        self,
        cx: Cx,
        sender: S,
        request: R,
        raw: Raw,
    ) -> impl Future<Output = Result<Answer>> + Send {
        self(cx, sender, request, raw)
    }
}
