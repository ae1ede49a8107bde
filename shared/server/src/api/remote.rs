//! What other servers answer, as clients are told of it.

use http::StatusCode;
use ruma::api::error::{Error as Refusal, ErrorKind};

use crate::{
    Error,
    peers::{PeerError, refusal},
};

/// How much of another server's words is passed on.
const MAX_MESSAGE_BYTES: usize = 200;

/// What a request that another server did not fulfil is to the client. Of what the other server
/// says only that is passed on which is about the room.
#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
pub(super) fn refused(error: PeerError) -> Error {
    match &error {
        PeerError::Refused(refusal) => relayed(refusal).unwrap_or_else(|| bad_gateway(&error)),
        _ => bad_gateway(&error),
    }
}

/// What a question that another server did not answer is to the client: where the server is not
/// reached, what was asked for is not found. For what can be asked again without harm.
pub(super) fn not_found(error: PeerError) -> Error {
    match &error {
        PeerError::Name(_)
        | PeerError::Unavailable(_)
        | PeerError::Silent(_)
        | PeerError::Dns(_)
        | PeerError::Http(_) => {
            Error::not_found(shortened(format!("the server that may know was not asked: {error}")))
        }
        _ => refused(error),
    }
}

/// What an identity server that the client has named did not fulfil is to the client. Nothing is
/// passed on that is about the client's token there.
#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
pub(super) fn identity_server_refused(error: PeerError) -> Error {
    let said = match &error {
        PeerError::Refused(refusal) => refusal::said(refusal, MAX_MESSAGE_BYTES),
        _ => None,
    };
    let relayed = said.filter(|(kind, _)| {
        matches!(kind.errcode().as_str(), "M_THREEPID_IN_USE" | "M_TERMS_NOT_SIGNED")
    });
    match relayed {
        Some((kind, message)) => Error::with_status(StatusCode::FORBIDDEN, kind.clone(), message),
        None => bad_gateway(&error),
    }
}

/// What could not be found out where it had to be asked for.
pub(super) fn not_reached(error: &PeerError) -> Error {
    bad_gateway(error)
}

/// An answer that is of no use.
pub(super) fn bad_answer(error: &dyn std::fmt::Display) -> Error {
    bad_gateway(&format!("the other server's answer is of no use: {error}"))
}

fn relayed(refusal: &Refusal) -> Option<Error> {
    let (kind, message) = refusal::said(refusal, MAX_MESSAGE_BYTES)?;
    let is_about_room = matches!(
        kind,
        ErrorKind::Forbidden
            | ErrorKind::NotFound
            | ErrorKind::IncompatibleRoomVersion(_)
            | ErrorKind::InviteBlocked
            | ErrorKind::UnableToAuthorizeJoin
            | ErrorKind::UnableToGrantJoin
    );
    is_about_room.then(|| Error::api(kind.clone(), message))
}

fn bad_gateway(error: &dyn std::fmt::Display) -> Error {
    let message = shortened(error.to_string());
    Error::with_status(StatusCode::BAD_GATEWAY, ErrorKind::Unknown, message)
}

fn shortened(message: String) -> String {
    refusal::shortened(message, MAX_MESSAGE_BYTES)
}

#[cfg(test)]
mod tests {
    use ruma::api::EndpointError as _;

    use super::*;

    #[test]
    fn only_what_is_about_the_room_is_passed_on() {
        let cases = [
            (403, "M_FORBIDDEN", 403, "M_FORBIDDEN"),
            (404, "M_NOT_FOUND", 404, "M_NOT_FOUND"),
            (403, "M_INVITE_BLOCKED", 403, "M_INVITE_BLOCKED"),
            (400, "M_UNABLE_TO_GRANT_JOIN", 400, "M_UNABLE_TO_GRANT_JOIN"),
            // Another status than that of the code is nobody's business.
            (401, "M_FORBIDDEN", 403, "M_FORBIDDEN"),
            (401, "M_UNKNOWN_TOKEN", 502, "M_UNKNOWN"),
            (403, "M_USER_DEACTIVATED", 502, "M_UNKNOWN"),
            (500, "M_UNKNOWN", 502, "M_UNKNOWN"),
        ];
        for (status, code, expected_status, expected) in cases {
            let message = "x".repeat(1_000);
            let body = format!(r#"{{"errcode":"{code}","error":"{message}"}}"#);
            let mut response = http::Response::new(body.as_bytes());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            let refusal = Refusal::from_http_response(response);
            let error = refused(PeerError::Refused(Box::new(refusal)));
            let json = error.to_json();
            assert_eq!(
                (error.status().as_u16(), &json["errcode"]),
                (expected_status, &expected.into())
            );
            assert!(json["error"].as_str().unwrap().len() <= MAX_MESSAGE_BYTES);
        }
    }
}
