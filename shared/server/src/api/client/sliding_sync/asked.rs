//! The body of a request, which has more than ruma reads of it.

use ruma::api::{client::sync::sync_events::v5::Request, error::DeserializationError};
use skerry_core::sliding_sync;

use crate::api::patched::{Body, Json, Patch};

/// What is asked, with the filters that ruma does not know.
#[derive(Debug)]
pub struct Asked(pub(super) sliding_sync::Request);

impl Patch<Request> for Asked {
    type Response = Json;

    fn patch(body: &mut Body<'_>) -> Result<Self, DeserializationError> {
        let request = body.read()?;
        // Of the rest ruma reads what stands in the URL.
        body.take_all();
        Ok(Self(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::patched::{Patched, read};

    #[test]
    fn the_body_is_read_here_and_the_query_by_ruma() {
        let body = br#"{"lists":{"a":{"timeline_limit":1,"filters":{"tags":["u.x"]}}}}"#;
        let read = read::<Patched<Request, Asked>>(body, &[]).unwrap();
        assert_eq!(read.patch.0.lists["a"].filters.tags.as_deref(), Some(&["u.x".to_owned()][..]));
        assert!(read.request.lists.is_empty() && read.request.pos.is_none());
        assert!(
            crate::api::patched::read::<Patched<Request, Asked>>(b"{\"lists\":1}", &[]).is_err()
        );
    }
}
