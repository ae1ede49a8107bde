//! Signatures that the room's policy server is asked for ([spec]).
//!
//! It is asked about what is sent here and about what comes as new from other servers. Not about
//! history, which was before what is here: nothing says whether the room used a policy server
//! then, and one page of it would ask about a hundred events. Nor about outliers: no client sees
//! them, and one that comes as an event of the room is asked about then.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#asking-for-a-policy-server-signature-on-an-event

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::{
    StreamExt as _,
    future::{self, Either},
    stream,
};
use http::StatusCode;
use ruma::{
    api::{
        error::{Error as Refusal, ErrorKind},
        federation::policy::sign_event::v1::Request as SignEvent,
    },
    room_version_rules::RoomVersionRules,
};
use serde_json::value::RawValue as RawJsonValue;
use skerry_core::{
    policy::{self, PolicyServer, Unsigned},
    receipt::Verified,
};

use crate::{
    Error, Result,
    messages::room::Received,
    objects::room::{Room, limits},
    peers::{PeerError, refusal},
    store::room::graph,
};

impl Room {
    /// Has an event signed by the room's policy server. What that refuses is refused in its words.
    pub(crate) async fn sign_by_policy(
        &self,
        policy: &PolicyServer,
        json: &str,
        rules: &RoomVersionRules,
    ) -> Result<String> {
        let via = &policy.via;
        if *via == self.server.name {
            let message = "the room names this server as its policy server, which it is not";
            return Err(Error::forbidden(message));
        }
        if !self.policy_back_off().may_ask(via, self.now_ms()) {
            return Err(no_answer(&"it did not answer a moment ago"));
        }
        let request = SignEvent::new(RawJsonValue::from_string(json.to_owned())?);
        let asking = Box::pin(async { self.peers().ask(via, request, limits::SIGNATURE).await });
        // Finding the server takes time too.
        let timeout = self.host.sleep(limits::SIGNATURE.timeout);
        let answer = match future::select(asking, timeout).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => {
                self.policy_back_off().failed(via, self.now_ms());
                return Err(no_answer(&"it takes too long"));
            }
        };
        match &answer {
            Err(error) if is_failure(error) => self.policy_back_off().failed(via, self.now_ms()),
            _ => self.policy_back_off().answered(),
        }
        let answer = answer.map_err(|it| refused(&it))?;
        let signature = answer.ed25519_signature(via);
        let signature = signature.ok_or_else(|| no_answer(&"its answer has no signature"))?;
        policy.add(json, signature, rules).map_err(|it| match it {
            Unsigned::Invalid => no_answer(&it),
            Unsigned::TooLarge => Error::api(ErrorKind::TooLarge, it.to_string()),
        })
    }

    /// Asks the room's policy server to sign those of the events that are new and that it has not
    /// signed. What it does not sign stays as it is.
    pub(crate) async fn add_policy_signatures(
        self: &Arc<Self>,
        policy: &PolicyServer,
        verified: &mut [Result<Verified, Received>],
        rules: &RoomVersionRules,
    ) -> Result<()> {
        let unsigned = self.list_unsigned(policy, verified, rules).await?;
        let sign = |(at, json): (usize, Box<str>)| async move {
            (at, self.sign_by_policy(policy, &json, rules).await)
        };
        let mut signing =
            stream::iter(unsigned).map(sign).buffer_unordered(limits::POLICY_ASKED_AT_ONCE);
        let mut timeout = self.host.sleep(Duration::from_millis(limits::POLICY_ALL_MS));
        while let Either::Left((Some((at, signed)), _)) =
            future::select(signing.next(), &mut timeout).await
        {
            match signed {
                Ok(json) => {
                    if let Some(Ok(verified)) = verified.get_mut(at) {
                        verified.pdu.json = json.into_boxed_str();
                    }
                }
                Err(error) => {
                    let status = error.status().as_u16();
                    tracing::debug!(room_id = %self.id, status, "an event is not recommended");
                }
            }
        }
        Ok(())
    }

    /// Where events stand that are new and that the policy server has not signed.
    async fn list_unsigned(
        self: &Arc<Self>,
        policy: &PolicyServer,
        verified: &[Result<Verified, Received>],
        rules: &RoomVersionRules,
    ) -> Result<Vec<(usize, Box<str>)>> {
        let pdus = verified.iter().enumerate();
        let pdus = pdus.filter_map(|(at, it)| Some((at, &it.as_ref().ok()?.pdu)));
        let unsigned: Vec<_> = pdus
            .filter(|(_, it)| {
                !policy::is_exempt(&it.event_type.to_string(), it.state_key.as_deref())
                    && !policy.has_signed(&it.json, rules)
            })
            .collect();
        if unsigned.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<_> = unsigned.iter().map(|(_, it)| it.event_id.clone()).collect();
        let _room = self.read().await?;
        let (sql, scope) = (self.sql(), self.scope());
        let mut known = HashSet::new();
        for page in ids.chunks(limits::ENGINE_PAGE) {
            let nums = graph::find_nums(sql, scope, page).await?;
            let nums: Vec<_> = nums.into_iter().map(|(_, num)| num).collect();
            let rows = graph::list(sql, scope, &nums).await?.into_iter();
            known.extend(rows.filter(|it| it.states.is_some()).map(|it| it.event_id));
        }
        let new = unsigned.into_iter().filter(|(_, it)| !known.contains(&it.event_id));
        Ok(new.map(|(at, it)| (at, it.json.clone())).collect())
    }
}

/// Whether the policy server was not there. One that refuses is.
fn is_failure(error: &PeerError) -> bool {
    match error {
        PeerError::Refused(refusal) => refusal.status_code.is_server_error(),
        other => other.may_pass(),
    }
}

/// What the policy server's refusal is to the client.
fn refused(error: &PeerError) -> Error {
    match error {
        PeerError::Refused(refusal) => relayed(refusal).unwrap_or_else(|| no_answer(error)),
        _ => no_answer(error),
    }
}

/// What the policy server says of the event: its code and its words. Of its codes those are passed
/// on that the specification has for it, and any that is nobody's else.
fn relayed(refusal: &Refusal) -> Option<Error> {
    let (kind, message) = refusal::said(refusal, limits::POLICY_REASON_BYTES)?;
    let is_about_event = matches!(
        kind,
        ErrorKind::Forbidden
            | ErrorKind::BadJson
            | ErrorKind::NotJson
            | ErrorKind::NotFound
            | ErrorKind::TooLarge
            | ErrorKind::LimitExceeded(_)
    );
    match (is_about_event, kind.custom_json_data()) {
        (true, _) => Some(Error::api(kind.clone(), message)),
        // It has a code of its own.
        (false, Some(_)) => Some(Error::forbidden(message)),
        (false, None) => None,
    }
}

/// What an event is that the policy server has neither signed nor refused.
fn no_answer(reason: &dyn std::fmt::Display) -> Error {
    let message = format!("the room's policy server has not signed the event: {reason}");
    Error::with_status(StatusCode::BAD_GATEWAY, ErrorKind::Unknown, message)
}

#[cfg(test)]
mod tests {
    use ruma::api::EndpointError as _;

    use super::*;

    /// F2
    #[test]
    fn what_a_policy_server_says_of_an_event_is_passed_on() {
        let cases = [
            (400, "M_FORBIDDEN", 403, "M_FORBIDDEN"),
            (403, "M_FORBIDDEN", 403, "M_FORBIDDEN"),
            (400, "M_BAD_JSON", 400, "M_BAD_JSON"),
            (404, "M_NOT_FOUND", 404, "M_NOT_FOUND"),
            (429, "M_LIMIT_EXCEEDED", 429, "M_LIMIT_EXCEEDED"),
            (400, "ORG.EXAMPLE.SPAM", 403, "M_FORBIDDEN"),
            (404, "M_UNRECOGNIZED", 502, "M_UNKNOWN"),
            (401, "M_UNKNOWN_TOKEN", 502, "M_UNKNOWN"),
            (401, "M_MISSING_TOKEN", 502, "M_UNKNOWN"),
            (401, "M_USER_LOCKED", 502, "M_UNKNOWN"),
            (403, "M_USER_DEACTIVATED", 502, "M_UNKNOWN"),
            (500, "M_UNKNOWN", 502, "M_UNKNOWN"),
        ];
        for (status, code, expected_status, expected) in cases {
            let message = "no".repeat(10_000);
            let body = format!(r#"{{"errcode":"{code}","error":"{message}","x":1}}"#);
            let mut response = http::Response::new(body.as_bytes());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            let error = PeerError::Refused(Box::new(Refusal::from_http_response(response)));
            assert_eq!(is_failure(&error), status >= 500, "{code}");
            let error = refused(&error);
            let json = error.to_json();
            let found = (error.status().as_u16(), json["errcode"].as_str().unwrap());
            assert_eq!(found, (expected_status, expected));
            assert!(json["error"].as_str().unwrap().len() <= limits::POLICY_REASON_BYTES);
            assert!(json.get("x").is_none(), "{json}");
        }
    }
}
