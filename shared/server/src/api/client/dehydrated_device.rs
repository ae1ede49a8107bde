//! The dehydrated device of a user ([MSC3814]): it waits, with keys and a place for messages, until
//! a new device takes it up.
//!
//! What has come for it is given by pages, and stays: a device that takes it up and does not come
//! to the end leaves all of it to another one. Then it is replaced, or removed.
//!
//! [MSC3814]: https://github.com/matrix-org/matrix-spec-proposals/pull/3814

use ruma::{
    OwnedDeviceId, UInt,
    api::{
        IncomingRequest, Metadata,
        client::dehydrated_device::{
            delete_dehydrated_device::unstable as remove, get_dehydrated_device::unstable as get,
            get_events::unstable as events, put_dehydrated_device::unstable as put,
        },
        error::DeserializationError,
    },
    serde::Raw,
};
use serde::{Deserialize, Serialize};
use skerry_core::{
    device_keys::{dehydrated, upload},
    to_device::PAGE_MESSAGES,
};

use super::{
    super::{Cx, mount::Routes, patched::Json},
    device,
    keys::texts,
};
use crate::{
    Error, Result,
    messages::{
        Caller, RawJson,
        user::{
            DehydratedDevice, GetDehydratedDevice, GetDehydratedInbox, InboxPage,
            RemoveDehydratedDevice, SetDehydratedDevice,
        },
    },
};

/// Mounts the endpoints of this area.
pub fn routes(routes: Routes) -> Routes {
    routes
        .mount(put_dehydrated_device)
        .mount(get_dehydrated_device)
        .mount(delete_dehydrated_device)
        .mount(get_events)
        .mount(list_events)
}

/// `PUT /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device`
async fn put_dehydrated_device(
    cx: Cx,
    caller: Caller,
    request: put::Request,
) -> Result<put::Response> {
    let (user_id, device_id) = (&*caller.user_id, request.device_id);
    device::check_id(&device_id)?;
    let display_name = request.initial_device_display_name;
    display_name.as_deref().map_or(Ok(()), device::check_name)?;
    let data = request.device_data.into_json();
    dehydrated::check_data(data.get())?;
    let signed = request.device_keys.into_json();
    let (one_time, fallback) = (texts(&request.one_time_keys), texts(&request.fallback_keys));
    let upload = upload::Upload {
        device_keys: Some(upload::device_keys(signed.get(), user_id, &device_id)?),
        one_time_keys: upload::one_time_keys(one_time, user_id, &device_id)?,
        fallback_keys: upload::fallback_keys(fallback, user_id, &device_id)?,
    };
    let device = DehydratedDevice { device_id: device_id.clone(), data };
    let by = caller.device_id.clone();
    let question = SetDehydratedDevice { by, device, display_name, upload, signed };
    cx.ports.objects.ask(user_id, question).await?;
    Ok(put::Response::new(device_id))
}

/// `GET /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device`
async fn get_dehydrated_device(cx: Cx, caller: Caller, _: get::Request) -> Result<get::Response> {
    let found = cx.ports.objects.ask(&*caller.user_id, GetDehydratedDevice {}).await?;
    let DehydratedDevice { device_id, data } = found.ok_or_else(none)?;
    Ok(get::Response::new(device_id, Raw::from_json(data)))
}

/// `DELETE /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device`
async fn delete_dehydrated_device(
    cx: Cx,
    caller: Caller,
    _: remove::Request,
) -> Result<remove::Response> {
    let question = RemoveDehydratedDevice { by: caller.device_id };
    let removed = cx.ports.objects.ask(&*caller.user_id, question).await?;
    removed.map(remove::Response::new).ok_or_else(none)
}

fn none() -> Error {
    Error::not_found("there is no dehydrated device")
}

/// `POST /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device/{deviceId}/events`: every
/// page has a token, and the last one no events.
async fn get_events(cx: Cx, caller: Caller, request: events::Request) -> Result<events::Response> {
    let after = position(request.next_batch.as_deref())?;
    let page = page(&cx, &caller, request.device_id, after, None).await?;
    let mut response = events::Response::new(page.events.into_iter().map(Raw::from_json).collect());
    response.next_batch = Some(page.upto.to_string());
    Ok(response)
}

/// The same with `GET`, as later drafts have it: the last page has no token.
struct ListEvents {
    device_id: OwnedDeviceId,
    from: Option<String>,
    limit: Option<UInt>,
}

impl Metadata for ListEvents {
    const METHOD: http::Method = http::Method::GET;
    const RATE_LIMITED: bool = events::Request::RATE_LIMITED;
    type Authentication = <events::Request as Metadata>::Authentication;
    type PathBuilder = <events::Request as Metadata>::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = events::Request::PATH_BUILDER;
}

impl IncomingRequest for ListEvents {
    type EndpointError = <events::Request as IncomingRequest>::EndpointError;
    type OutgoingResponse = Json;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        #[derive(Deserialize)]
        struct Query {
            from: Option<String>,
            limit: Option<UInt>,
        }
        let query = request.uri().query().unwrap_or_default();
        let Query { from, limit } = ruma::exports::serde_html_form::from_str(query)?;
        let device_id = path_args.first().copied().unwrap_or_default().into();
        Ok(Self { device_id, from, limit })
    }
}

/// `GET /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device/{deviceId}/events`
async fn list_events(cx: Cx, caller: Caller, request: ListEvents) -> Result<Json> {
    #[derive(Serialize)]
    struct Page {
        events: Vec<RawJson>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next_batch: Option<String>,
    }
    let ListEvents { device_id, from, limit } = request;
    let after = position(from.as_deref())?;
    let InboxPage { events, upto, has_more } = page(&cx, &caller, device_id, after, limit).await?;
    let next_batch = has_more.then(|| upto.to_string());
    Ok(Json::of(&Page { events, next_batch })?)
}

async fn page(
    cx: &Cx,
    caller: &Caller,
    device_id: OwnedDeviceId,
    after: UInt,
    limit: Option<UInt>,
) -> Result<InboxPage> {
    let limit = limit.map_or(PAGE_MESSAGES as u64, Into::into);
    let question = GetDehydratedInbox { device_id, after: after.into(), limit };
    cx.ports.objects.ask(&*caller.user_id, question).await
}

/// Where a page begins.
fn position(token: Option<&str>) -> Result<UInt> {
    let refused = |_| Error::invalid_param("this is no token of a page of messages");
    token.map_or(Ok(UInt::MIN), |it| it.parse().map_err(refused))
}
