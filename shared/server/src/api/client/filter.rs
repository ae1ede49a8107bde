//! Stored filters ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#filtering

use ruma::api::client::filter::{create_filter, get_filter};
use serde_json::value::to_raw_value;
use skerry_core::filter;

use super::{
    super::{Cx, mount::Routes},
    account_data::check_own,
};
use crate::{
    Error, Result,
    messages::{
        Caller,
        user::{CreateFilter, GetFilter},
    },
};

/// Mounts the endpoints of this area.
pub fn routes(routes: Routes) -> Routes {
    routes.mount(create_filter).mount(get_filter)
}

/// `POST /_matrix/client/*/user/{userId}/filter`
pub async fn create_filter(
    cx: Cx,
    caller: Caller,
    request: create_filter::v3::Request,
) -> Result<create_filter::v3::Response> {
    check_own(&caller, &request.user_id)?;
    filter::check(&request.filter).map_err(|it| Error::bad_json(it.to_string()))?;
    let question = CreateFilter { filter: to_raw_value(&request.filter)? };
    let filter_id = cx.ports.objects.ask(&*caller.user_id, question).await?;
    Ok(create_filter::v3::Response::new(filter_id))
}

/// `GET /_matrix/client/*/user/{userId}/filter/{filterId}`
pub async fn get_filter(
    cx: Cx,
    caller: Caller,
    request: get_filter::v3::Request,
) -> Result<get_filter::v3::Response> {
    check_own(&caller, &request.user_id)?;
    let question = GetFilter { filter_id: request.filter_id };
    let filter = cx.ports.objects.ask(&*caller.user_id, question).await?;
    let filter = filter.ok_or_else(|| Error::not_found("there is no such filter"))?;
    Ok(get_filter::v3::Response::new(serde_json::from_str(filter.get())?))
}
