//! What a join is answered with, as it comes: the state of a room may be larger than what is to be
//! held of it.

use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;
use skerry_core::json_parts::{Limits, Part, Parts, PartsError, Wanted};

use crate::{
    Error, Result,
    api::remote::{bad_answer, refused},
    messages::RawJson,
    objects::room::limits::STAGED_EVENTS,
    peers::PeerError,
    ports::http::{ByteStream, Response},
};

/// Bytes of an event, with all that servers add to it and the spaces between: more than any has,
/// since an event has 64 KiB at most.
const EVENT_BYTES: usize = 256 * 1024;

const LIMITS: Limits = Limits { value_bytes: EVENT_BYTES, elements: STAGED_EVENTS };

/// What is wanted of the answer to a join ([spec]).
///
/// [spec]: https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2send_joinroomideventid
const JOIN: Wanted = Wanted {
    arrays: &["auth_chain", "state"],
    fields: &["event", "members_omitted"],
    limits: LIMITS,
};

/// What is wanted of a state ([spec]).
///
/// [spec]: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1stateroomid
const STATE: Wanted = Wanted { arrays: &["auth_chain", "pdus"], fields: &[], limits: LIMITS };

/// An event of a state or of its auth chain.
pub(super) struct StateEvent {
    pub(super) event: RawJson,
    /// Whether it is of the state.
    pub(super) is_state: bool,
}

/// An answer on its way.
pub(super) struct Answer {
    body: ByteStream,
    /// None: all of it has come.
    parts: Option<Parts>,
    /// The join, as the other server has it.
    pub(super) event: Option<RawJson>,
    /// The state is not whole.
    pub(super) members_omitted: bool,
}

impl Answer {
    /// The answer to a join.
    pub(super) fn to_join(response: Response) -> Self {
        Self::new(response, JOIN)
    }

    /// The answer to a question for a state.
    pub(super) fn to_state(response: Response) -> Self {
        Self::new(response, STATE)
    }

    fn new(response: Response, wanted: Wanted) -> Self {
        let parts = Some(Parts::new(wanted));
        Self { body: response.body, parts, event: None, members_omitted: false }
    }

    /// The next events that have come; none: there are no more.
    ///
    /// # Errors
    ///
    /// `M_UNKNOWN` (502), where the answer breaks off or is none.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<StateEvent>>> {
        let Some(parts) = &mut self.parts else { return Ok(None) };
        let mut found = Vec::new();
        match self.body.next().await {
            Some(Ok(chunk)) => parts.feed(&chunk, &mut found).map_err(unusable)?,
            Some(Err(error)) => return Err(refused(PeerError::from(error))),
            None => {
                let parts = self.parts.take();
                parts.map_or(Ok(()), Parts::finish).map_err(unusable)?;
            }
        }
        let events: Vec<_> = found.into_iter().map(|it| self.take(it)).collect::<Result<_>>()?;
        Ok(Some(events.into_iter().flatten().collect()))
    }

    /// Keeps a field, or gives an event.
    fn take(&mut self, part: Part) -> Result<Option<StateEvent>> {
        match part {
            Part::Element(of, event) => {
                return Ok(Some(StateEvent { event, is_state: of != "auth_chain" }));
            }
            Part::Field("event", event) => self.event = read(&event)?,
            Part::Field(_, json) => self.members_omitted = read(&json)?.unwrap_or_default(),
        }
        Ok(None)
    }
}

/// A field. What is `null` is not there.
fn read<T: DeserializeOwned>(json: &RawJson) -> Result<Option<T>> {
    serde_json::from_str(json.get()).map_err(|_| bad_answer(&"a field is not of its type"))
}

fn unusable(error: PartsError) -> Error {
    bad_answer(&error)
}
