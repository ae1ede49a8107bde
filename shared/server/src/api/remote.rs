//! What other servers answer, as clients are told of it.

use http::StatusCode;
use ruma::api::error::{Error as Refusal, ErrorBody, ErrorKind, StandardErrorBody};

use crate::{Error, peers::PeerError};

/// How much of another server's words is passed on.
const MAX_MESSAGE_BYTES: usize = 200;

/// What a request that another server did not fulfil is to the client. Of what the other server
/// says only that is passed on which is about the room: a client that is told that its token is not
/// known logs out.
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
        PeerError::Name(_) | PeerError::Unavailable(_) | PeerError::Dns(_) | PeerError::Http(_) => {
            Error::not_found(shortened(format!("the server that may know was not asked: {error}")))
        }
        _ => refused(error),
    }
}

/// An answer that is of no use.
pub(super) fn bad_answer(error: &dyn std::fmt::Display) -> Error {
    bad_gateway(&format!("the other server's answer is of no use: {error}"))
}

fn relayed(refusal: &Refusal) -> Option<Error> {
    let ErrorBody::Standard(StandardErrorBody { kind, message, .. }) = &refusal.body else {
        return None;
    };
    let is_about_room = matches!(
        kind,
        ErrorKind::Forbidden
            | ErrorKind::NotFound
            | ErrorKind::IncompatibleRoomVersion(_)
            | ErrorKind::UnableToAuthorizeJoin
            | ErrorKind::UnableToGrantJoin
    );
    is_about_room.then(|| Error::api(kind.clone(), shortened(message.clone())))
}

fn bad_gateway(error: &dyn std::fmt::Display) -> Error {
    let message = shortened(error.to_string());
    Error::with_status(StatusCode::BAD_GATEWAY, ErrorKind::Unknown, message)
}

fn shortened(mut message: String) -> String {
    message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
    message
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
