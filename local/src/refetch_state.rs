//! The command that has a running server ask another one for a room's state.
//!
//! A room has one writer, which is the server that runs: so it is asked, by the way that its
//! administrators have, natively and at the edge alike.

use std::{
    io::{self, Write as _},
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use futures_util::TryStreamExt as _;
use http::{HeaderValue, Method, StatusCode, header};
use ruma::{RoomId, ServerName};
use serde::Deserialize;
use serde_json::json;
use skerry::{
    Error, Result,
    messages::room::{Change, Difference, Refetched},
    ports::{
        Dns,
        http::{Addresses, Body, Http as _, Request},
    },
};
use url::Url;

use crate::{dns::NameServers, http::NativeHttp, options::Options};

/// What the answer may take: another server is asked meanwhile, for all of a state.
const TIMEOUT: Duration = Duration::from_mins(15);
/// Bytes of the answer.
const MAX_ANSWER_BYTES: u64 = 4 * 1024 * 1024;

/// Which room's state is asked for, of whom, and where the server is that is to have it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The room.
    pub room_id: &'a RoomId,
    /// Who is asked for its state.
    pub from: &'a ServerName,
    /// Where the server is.
    pub url: &'a Url,
    /// The access token of an account that administers it.
    pub access_token: &'a str,
}

/// Has the server ask, and says what differed and what has changed.
///
/// # Errors
///
/// Where the server is not there, or refuses.
pub async fn refetch_state(options: &Options, asked: Asked<'_>) -> Result<()> {
    let dns: Arc<dyn Dns> = Arc::new(NameServers::new(options.dns_server)?);
    let http = NativeHttp::new(&dns, options.trusted_ca.as_deref())?;
    let response = http.send(request(asked)?).await.map_err(Error::internal)?;
    let status = response.status;
    let body: BytesMut = response.body.try_collect().await.map_err(Error::internal)?;
    if status != StatusCode::OK {
        return Err(Error::internal(refusal(status, &body)));
    }
    let found: Refetched = serde_json::from_slice(&body)?;
    say(&found).map_err(Error::internal)
}

fn request(asked: Asked<'_>) -> Result<Request> {
    let Asked { room_id, from, url, access_token } = asked;
    let mut url = url.clone();
    url.path_segments_mut()
        .map_err(|()| Error::internal("this URL has no path"))?
        .pop_if_empty()
        .extend(["_skerry", "admin", "v1", "rooms", room_id.as_str(), "refetch_state"]);
    let mut request = Request::new(Method::POST, url, MAX_ANSWER_BYTES, TIMEOUT);
    // It is the operator's own server.
    request.addresses = Addresses::All;
    let mut token = HeaderValue::try_from(format!("Bearer {access_token}"))
        .map_err(|_| Error::internal("this is no access token"))?;
    token.set_sensitive(true);
    request.headers.insert(header::AUTHORIZATION, token);
    request.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request.body = Body::Whole(json!({ "from": from }).to_string().into());
    Ok(request)
}

/// What the server says when it refuses.
fn refusal(status: StatusCode, body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    match serde_json::from_slice::<Refusal>(body) {
        Ok(Refusal { error }) => format!("{error} ({})", status.as_u16()),
        Err(_) => format!("the server answers with status {}", status.as_u16()),
    }
}

fn say(found: &Refetched) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let Refetched { told, untold, missing, rejected, differ, changed, .. } = found;
    writeln!(
        out,
        "the server told of {} forward extremities, not of {}",
        told.len(),
        untold.len()
    )?;
    writeln!(
        out,
        "{missing} events of its state were not to be had, {rejected} are rejected here"
    )?;
    writeln!(out, "{differ} pieces of the state differed{}", colon(*differ))?;
    for Difference { event_type, state_key, here, there } in &found.differences {
        let (here, there) = (named(here.as_deref()), named(there.as_deref()));
        writeln!(out, "  {event_type} {state_key:?}: {here} here, {there} there")?;
    }
    writeln!(out, "{changed} pieces of the room's state have changed{}", colon(*changed))?;
    for Change { event_type, state_key, before, after } in &found.changes {
        let (before, after) = (named(before.as_deref()), named(after.as_deref()));
        writeln!(out, "  {event_type} {state_key:?}: {before} until now, {after} from now on")?;
    }
    out.flush()
}

fn colon(count: u64) -> &'static str {
    if count == 0 { "" } else { ":" }
}

fn named(event: Option<&ruma::EventId>) -> &str {
    event.map_or("nothing", ruma::EventId::as_str)
}
