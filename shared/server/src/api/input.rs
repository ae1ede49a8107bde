//! A request on its way to its handler: path arguments, the body within its limits, and who sent
//! it over which connection.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{FromRequestParts as _, RawPathParams, rejection::RawPathParamsRejection},
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::{Method, header, request::Parts};
use ruma::api::{IncomingRequest, error::ErrorKind};
use skerry_core::{
    rate_limits::{Bucket, address_key},
    request_path,
};

use super::{
    Cx, access,
    access::{Access, UncheckedToken},
    counted::{ClientAddress, Counted, Payer, counted_address},
    json,
    origin::{Claim, Origin},
};
use crate::{Error, Result, limiters::Unlimited, messages::Caller};

/// The largest body of a JSON request. An event may have 64 KiB, `/createRoom` brings several.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// The largest body of a request of another server: 50 events of the largest size and 100 of what
/// is no event.
pub(super) const MAX_SERVER_BODY_BYTES: usize = 8 * 1024 * 1024;

/// How much of a body that nobody wants is read and thrown away. Most clients send all of a
/// request before they look at the answer, and never see it when the connection breaks off.
pub const MAX_DRAINED_BYTES: usize = 16 * 1024 * 1024;

/// What is known of the program that sent a request.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// Its address.
    pub address: Option<String>,
    /// Its `User-Agent`.
    pub user_agent: Option<String>,
    /// The host and port by which it reached this server, as far as it may be believed.
    pub reached: Option<String>,
}

impl Client {
    /// What its address is counted by.
    pub(super) fn counted_address(&self) -> String {
        address_key(self.address.as_deref())
    }
}

/// What stands before an endpoint.
#[derive(Clone, Copy)]
pub(super) struct Gate {
    /// What is asked of the sender.
    pub(super) access: Access,
    /// Where requests are counted.
    pub(super) buckets: &'static [Bucket],
}

/// A request that has been let in: authenticated as its endpoint asks, and within all limits.
pub(super) struct Input {
    pub(super) cx: Cx,
    /// The user whose token was checked, if any was.
    pub(super) caller: Option<Caller>,
    /// The server that has signed it, if one has to.
    pub(super) origin: Option<Origin>,
    /// Who is charged for the answer, where it may be large.
    pub(super) payer: Option<Payer>,
    parts: Parts,
    path_args: Vec<String>,
    body: Bytes,
}

impl Input {
    /// Lets a request in. Nothing of the body is read before the sender is known, and the request
    /// counted: one that is refused costs less than one that is served.
    pub(super) async fn read(
        request: axum::extract::Request,
        gate: Gate,
        empty_tail: bool,
    ) -> Result<Self> {
        let (mut parts, body) = request.into_parts();
        check_target(&parts)?;
        let cx = parts.extensions.remove::<Cx>();
        let mut cx = cx.ok_or_else(|| Error::internal("the host gave the request no Cx"))?;
        let Passed { caller, claim, payer } = gate.pass(&mut cx, &parts).await?;
        let mut path_args = path_args(&mut parts).await?;
        if empty_tail {
            path_args.push(String::new());
        }
        let max = if claim.is_some() { MAX_SERVER_BODY_BYTES } else { MAX_BODY_BYTES };
        let body = match is_read(&parts.method) {
            true => Bytes::new(),
            false => read_body(body, max).await?,
        };
        let (origin, payer) = match claim {
            Some(claim) => {
                let Origin(server) = claim.verify(&cx, &parts, &body).await?;
                let payer = is_read(&parts.method).then(|| Payer::of_server(&cx, &server));
                (Some(Origin(server)), payer.transpose()?)
            }
            None if body.is_empty() => (None, payer),
            None => json::check(&body).map(|()| (None, payer))?,
        };
        Ok(Self { cx, caller, origin, payer, parts, path_args, body })
    }

    /// The access token, which nobody has checked.
    pub(super) fn unchecked_token(&self) -> Result<UncheckedToken> {
        UncheckedToken::read(&self.cx, &self.parts)
    }

    /// Reads the request as what its endpoint wants.
    pub(super) fn parse<R: IncomingRequest>(self) -> (Cx, Result<R>) {
        // None at all is an empty object.
        let body = match self.body.is_empty() && !is_read(&self.parts.method) {
            true => b"{}",
            false => &*self.body,
        };
        let request = http::Request::from_parts(self.parts, body);
        let path_args: Vec<&str> = self.path_args.iter().map(String::as_str).collect();
        let request = R::try_from_http_request_inner(request, &path_args)
            .map_err(|error| json::refusal(&error));
        (self.cx, request)
    }

    /// What is known of the program that sent the request.
    pub(super) fn client(&self) -> Client {
        let address = self.parts.extensions.get::<ClientAddress>().map(|it| it.text.to_string());
        let header = |name| {
            let value = self.parts.headers.get(name)?;
            value.to_str().ok().map(ToOwned::to_owned)
        };
        let authority = self.parts.uri.authority().map(ToString::to_string);
        let reached = authority.or_else(|| header(header::HOST));
        Client { address, user_agent: header(header::USER_AGENT), reached }
    }
}

/// Whether a request of this method reads: it has no body, and its answer may be large.
fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Refuses a request of which not everybody on its way has the same idea of what it asks for, and
/// whom.
fn check_target(parts: &Parts) -> Result<()> {
    if !request_path::is_literal(parts.uri.path()) {
        let message =
            "the path has a segment that is . or .., or a backslash: no URL carries these";
        return Err(Error::invalid_param(message));
    }
    if parts.headers.get_all(header::HOST).iter().count() > 1 {
        return Err(super::no_target("the request has more than one Host header"));
    }
    Ok(())
}

/// What is known of a request that was let in by its head.
struct Passed {
    caller: Option<Caller>,
    claim: Option<Claim>,
    payer: Option<Payer>,
}

impl Gate {
    /// Authenticates the sender, and counts the request. Who administers the server is not counted.
    async fn pass(self, cx: &mut Cx, parts: &Parts) -> Result<Passed> {
        let known = access::check(cx, self.access, parts).await?;
        let unchecked = match self.access {
            Access::Unchecked => Some(UncheckedToken::read(cx, parts)?),
            _ => None,
        };
        let remembered = match &unchecked {
            Some(token) => token.expect_known(cx)?,
            None => None,
        };
        if known.as_ref().or(remembered.as_ref()).is_some_and(|it| it.is_admin) {
            cx.ports.limiter = Arc::new(Unlimited);
        }
        let caller = known.map(|it| it.caller);
        let counted = Counted {
            address: &counted_address(&parts.extensions),
            caller: caller.as_ref(),
            token: unchecked.as_ref().map(|it| it.access_hash.as_str()),
        };
        counted.take(cx, self.buckets).await?;
        if self.access == Access::Server {
            let claim = Some(Claim::read(cx, parts).await?);
            return Ok(Passed { caller: None, claim, payer: None });
        }
        let payer = match is_read(&parts.method) {
            true => {
                let remembered = remembered.as_ref().map(|it| &it.caller);
                let caller = counted.caller.or(remembered);
                Some(Payer::of(cx, &Counted { caller, ..counted })?)
            }
            false => None,
        };
        Ok(Passed { caller, claim: None, payer })
    }
}

/// The arguments in the path, percent-decoded, in their order.
async fn path_args(parts: &mut Parts) -> Result<Vec<String>> {
    match RawPathParams::from_request_parts(parts, &()).await {
        Ok(params) => Ok(params.iter().map(|(_, value)| value.to_owned()).collect()),
        Err(RawPathParamsRejection::MissingPathParams(_)) => Ok(Vec::new()),
        Err(_) => Err(Error::invalid_param("the path is not UTF-8")),
    }
}

/// The body, of so many bytes at most.
async fn read_body(body: Body, max: usize) -> Result<Bytes> {
    let mut chunks = body.into_data_stream();
    let mut whole = Bytes::new();
    let mut size = 0_usize;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| {
            Error::api(ErrorKind::NotJson, "the body broke off, or came too slowly")
        })?;
        size = size.saturating_add(chunk.len());
        if size > MAX_DRAINED_BYTES {
            return Err(too_large(max));
        }
        whole = if size > max {
            Bytes::new()
        } else if whole.is_empty() {
            chunk
        } else {
            let mut longer = BytesMut::from(whole);
            longer.extend_from_slice(&chunk);
            longer.freeze()
        };
    }
    match size > max {
        true => Err(too_large(max)),
        false => Ok(whole),
    }
}

fn too_large(max: usize) -> Error {
    Error::api(ErrorKind::TooLarge, format!("the body is larger than {max} bytes"))
}
