//! Stored filters ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#filtering

use axum::Router;
use ruma::api::client::filter::{create_filter, get_filter};
use serde_json::value::to_raw_value;

use super::{
    super::{Cx, mount},
    account_data::check_own,
};
use crate::{
    Error, Result,
    messages::{
        Caller,
        user::{Command, Reply},
    },
};

/// Mounts the endpoints of this area.
pub fn routes(router: Router) -> Router {
    let router = mount::authenticated(router, create_filter);
    mount::authenticated(router, get_filter)
}

/// `POST /_matrix/client/*/user/{userId}/filter`
pub async fn create_filter(
    cx: Cx,
    caller: Caller,
    request: create_filter::v3::Request,
) -> Result<create_filter::v3::Response> {
    check_own(&caller, &request.user_id)?;
    let command = Command::CreateFilter { filter: to_raw_value(&request.filter)? };
    match cx.ports.objects.user(&caller.user_id, command).await? {
        Reply::FilterId { filter_id } => Ok(create_filter::v3::Response::new(filter_id)),
        _ => Err(Error::internal("a user object gave another reply")),
    }
}

/// `GET /_matrix/client/*/user/{userId}/filter/{filterId}`
pub async fn get_filter(
    cx: Cx,
    caller: Caller,
    request: get_filter::v3::Request,
) -> Result<get_filter::v3::Response> {
    check_own(&caller, &request.user_id)?;
    let command = Command::GetFilter { filter_id: request.filter_id };
    match cx.ports.objects.user(&caller.user_id, command).await? {
        Reply::Json { content: Some(filter) } => {
            Ok(get_filter::v3::Response::new(serde_json::from_str(filter.get())?))
        }
        Reply::Json { content: None } => Err(Error::not_found("there is no such filter")),
        _ => Err(Error::internal("a user object gave another reply")),
    }
}
