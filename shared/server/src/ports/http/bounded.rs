//! The limits of an answer's body, the same for every adapter.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};

use super::{ByteStream, Fault, HttpError};

/// A body that ends as an error after `max_bytes`, or when `timeout` ends: a future of the host's
/// clock, which began with the request.
pub fn bounded(
    body: impl Stream<Item = Result<Bytes, HttpError>> + Send + 'static,
    max_bytes: u64,
    timeout: impl Future<Output = ()> + Send + 'static,
) -> ByteStream {
    let bounded =
        Bounded { body: Box::pin(body), left: max_bytes, timeout: Box::pin(timeout), ended: false };
    Box::pin(bounded)
}

struct Bounded {
    body: ByteStream,
    /// Bytes.
    left: u64,
    timeout: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// After an error there is nothing more.
    ended: bool,
}

impl Stream for Bounded {
    type Item = Result<Bytes, HttpError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        // The time first: a body that always has something must not outrun it.
        let next = match self.timeout.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Some(Err(HttpError::new(
                Fault::Timeout,
                "the body did not come in time",
            )))),
            Poll::Pending => self.body.poll_next_unpin(context),
        };
        let next = match next {
            Poll::Ready(Some(Ok(chunk))) => Poll::Ready(Some(self.within_limit(chunk))),
            other => other,
        };
        self.ended = matches!(next, Poll::Ready(None | Some(Err(_))));
        next
    }
}

impl Bounded {
    fn within_limit(&mut self, chunk: Bytes) -> Result<Bytes, HttpError> {
        let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        match self.left.checked_sub(length) {
            Some(left) => {
                self.left = left;
                Ok(chunk)
            }
            None => Err(HttpError::new(Fault::TooLarge, "the body is larger than was asked for")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::{FutureExt as _, stream};

    use super::*;

    fn collect(body: ByteStream) -> Vec<Result<usize, Fault>> {
        let all = body.map(|it| it.map(|it| it.len()).map_err(|it| it.fault)).collect::<Vec<_>>();
        all.now_or_never().unwrap()
    }

    fn endless() -> impl Stream<Item = Result<Bytes, HttpError>> {
        stream::repeat_with(|| Ok(Bytes::from_static(b"four")))
    }

    #[test]
    fn a_body_ends_at_its_limit() {
        let exact = bounded(endless().take(2), 8, pending());
        assert_eq!(collect(exact), [Ok(4), Ok(4)]);
        let large = bounded(endless(), 9, pending());
        assert_eq!(collect(large), [Ok(4), Ok(4), Err(Fault::TooLarge)]);
        assert_eq!(collect(bounded(endless(), 0, pending())), [Err(Fault::TooLarge)]);
    }

    #[test]
    fn a_body_ends_when_its_time_is_up_although_there_is_more() {
        assert_eq!(collect(bounded(endless(), u64::MAX, ready(()))), [Err(Fault::Timeout)]);
    }
}
