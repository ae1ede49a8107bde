//! Typing notifications ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#typing-notifications

use ruma::api::{
    client::typing::create_typing_event::{self, v3::Typing},
    error::DeserializationError,
};

use super::{
    super::{
        Cx,
        mount::Routes,
        patched::{Body, Patch, Patched},
    },
    account_data::check_own,
};
use crate::{
    Result,
    messages::{Caller, room::SetTyping},
};

/// How long somebody types who does not say it: the specification does not require it, ruma does.
const DEFAULT_TIMEOUT_MS: u64 = 30_000;

/// Mounts the endpoints of this area.
pub fn routes(routes: Routes) -> Routes {
    routes.mount(create_typing_event)
}

/// `PUT /_matrix/client/*/rooms/{roomId}/typing/{userId}`
pub async fn create_typing_event(
    cx: Cx,
    caller: Caller,
    Patched { request, .. }: Patched<create_typing_event::v3::Request, DefaultTimeout>,
) -> Result<create_typing_event::v3::Response> {
    check_own(&caller, &request.user_id)?;
    // The room has a limit of its own on how long it believes this.
    let typing_for_ms = match request.state {
        Typing::No => None,
        Typing::Yes(info) => Some(u64::try_from(info.timeout.as_millis()).unwrap_or(u64::MAX)),
    };
    let question = SetTyping { user_id: caller.user_id, typing_for_ms };
    cx.ports.objects.ask(&*request.room_id, question).await?;
    Ok(create_typing_event::v3::Response::new())
}

/// A timeout where the client gave none.
pub struct DefaultTimeout;

impl Patch<create_typing_event::v3::Request> for DefaultTimeout {
    type Response = create_typing_event::v3::Response;

    fn patch(body: &mut Body<'_>) -> Result<Self, DeserializationError> {
        body.set_default("timeout", DEFAULT_TIMEOUT_MS)?;
        Ok(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::patched;

    #[test]
    fn who_types_need_not_say_how_long() {
        type Request = Patched<create_typing_event::v3::Request, DefaultTimeout>;
        let timeout_ms = |body| {
            let request = patched::read::<Request>(body, &["!a:x.y", "@a:x.y"]).unwrap().request;
            match request.state {
                Typing::Yes(info) => Some(info.timeout.as_millis()),
                Typing::No => None,
            }
        };
        assert_eq!(timeout_ms(br#"{"typing":true}"#), Some(u128::from(DEFAULT_TIMEOUT_MS)));
        assert_eq!(timeout_ms(br#"{"typing":true,"timeout":5}"#), Some(5));
        assert_eq!(timeout_ms(br#"{"typing":false}"#), None);
    }
}
