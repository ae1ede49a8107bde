//! The few client-server API calls of which every measurement is made.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    error::{Error, Result},
    http::{Connection, Request},
};

/// Stages of registration this client completes, two at most, and the answer itself.
const MAX_REGISTER_STEPS: usize = 4;
const DUMMY: &str = "m.login.dummy";
const TOKEN: &str = "m.login.registration_token";

/// An account with one device.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct User {
    #[serde(rename = "user_id")]
    pub(crate) id: String,
    #[serde(rename = "access_token")]
    pub(crate) token: String,
    pub(crate) device_id: String,
}

/// What a server asks for before it registers an account ([UIA]).
///
/// [UIA]: https://spec.matrix.org/latest/client-server-api/#user-interactive-authentication-api
#[derive(Deserialize)]
struct Challenge {
    session: Option<String>,
    flows: Vec<Flow>,
    #[serde(default)]
    completed: Vec<String>,
}

#[derive(Deserialize)]
struct Flow {
    stages: Vec<String>,
}

#[derive(Serialize)]
struct Registration<'a> {
    username: &'a str,
    password: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<Auth>,
}

/// The answer to one stage.
#[derive(Debug, PartialEq, Serialize)]
struct Auth {
    #[serde(rename = "type")]
    stage: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

#[derive(Deserialize)]
struct RoomCreated {
    room_id: String,
}

/// Registers an account, through dummy auth or a registration token.
pub(crate) async fn register(
    connection: &mut Connection,
    username: &str,
    password: &str,
    registration_token: Option<&str>,
) -> Result<User> {
    let mut registration = Registration { username, password, auth: None };
    for _ in 0..MAX_REGISTER_STEPS {
        let body = serde_json::to_string(&registration)?;
        let request = Request {
            method: "POST",
            path: "/_matrix/client/v3/register",
            token: None,
            body: Some(&body),
        };
        match connection.ask(request).await? {
            401 => {
                let challenge = connection.json()?;
                registration.auth = Some(next_stage(challenge, registration_token)?);
            }
            200..=299 => return connection.json(),
            status => return Err(connection.refusal(request, status)),
        }
    }
    Err(Error::Wrong("registration does not come to an end".to_owned()))
}

fn next_stage(challenge: Challenge, registration_token: Option<&str>) -> Result<Auth> {
    let Challenge { session, flows, completed } = challenge;
    let can = |stage: &String| match stage.as_str() {
        DUMMY => true,
        TOKEN => registration_token.is_some(),
        _ => false,
    };
    let flow = flows.into_iter().find(|it| it.stages.iter().all(can)).ok_or_else(|| {
        Error::Usage(
            "the server registers neither openly (m.login.dummy) nor with the \
             --registration-token given"
                .to_owned(),
        )
    })?;
    let stage =
        flow.stages.into_iter().find(|it| !completed.contains(it)).ok_or_else(|| {
            Error::Wrong("all stages are complete and yet not accepted".to_owned())
        })?;
    let token = registration_token.filter(|_| stage == TOKEN).map(str::to_owned);
    Ok(Auth { stage, session, token })
}

/// Logs a new device in.
pub(crate) async fn log_in(
    connection: &mut Connection,
    user_id: &str,
    password: &str,
) -> Result<User> {
    let body = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": user_id },
        "password": password,
    })
    .to_string();
    let path = "/_matrix/client/v3/login";
    let request = Request { method: "POST", path, token: None, body: Some(&body) };
    connection.call(request).await?;
    connection.json()
}

/// Creates a room anyone may join.
pub(crate) async fn create_room(
    connection: &mut Connection,
    user: &User,
    name: &str,
) -> Result<String> {
    let body = json!({ "preset": "public_chat", "name": name }).to_string();
    let request = Request::post("/_matrix/client/v3/createRoom", &user.token, &body);
    connection.call(request).await?;
    Ok(connection.json::<RoomCreated>()?.room_id)
}

/// Joins a room by its ID.
pub(crate) async fn join(connection: &mut Connection, user: &User, room_id: &str) -> Result<()> {
    let path = room_path(room_id, "join");
    connection.call(Request::post(&path, &user.token, "{}")).await
}

/// The path of a room's endpoint.
pub(crate) fn room_path(room_id: &str, endpoint: &str) -> String {
    format!("/_matrix/client/v3/rooms/{}/{endpoint}", encode(room_id))
}

/// Percent-encodes text for a path segment or a query value.
pub(crate) fn encode(text: &str) -> String {
    use std::fmt::Write as _;

    let mut encoded = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Challenge, encode, next_stage};

    #[test]
    fn room_ids_are_encoded() {
        assert_eq!(encode("!a_b:localhost"), "%21a_b%3Alocalhost");
    }

    fn answer(completed: &Value, registration_token: Option<&str>) -> Option<Value> {
        let flows = json!([
            { "stages": ["m.login.recaptcha"] },
            { "stages": ["m.login.registration_token", "m.login.dummy"] },
        ]);
        let challenge = json!({ "session": "s", "flows": flows, "completed": completed });
        let challenge: Challenge = serde_json::from_value(challenge).expect("a challenge");
        let auth = next_stage(challenge, registration_token).ok()?;
        Some(serde_json::to_value(auth).expect("JSON"))
    }

    #[test]
    fn registration_takes_a_flow_it_can_complete() {
        let token = "m.login.registration_token";
        let first = json!({ "type": token, "session": "s", "token": "t" });
        assert_eq!(answer(&json!([]), Some("t")), Some(first));
        let second = json!({ "type": "m.login.dummy", "session": "s" });
        assert_eq!(answer(&json!([token]), Some("t")), Some(second));
        assert_eq!(answer(&json!([]), None), None);
    }
}
