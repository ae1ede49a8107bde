//! The messages between objects and from the API to objects: plain data, also the wire form
//! between a Worker and its Durable Objects.
//!
//! Every question is a type of its own, which says whom it goes to and what the answer is
//! ([`Ask`]). The enums of all questions and of all answers to one kind of object are made from
//! one list (`asks!`); they exist for the wire and for the object's `match`.
//!
//! **Invariant:** no behaviour here. Events travel as raw JSON in the format of the requester, and
//! without anything that the requester may not see.

pub mod destination;
pub mod room;
pub mod secret;
pub mod user;

use std::fmt::Debug;

use ruma::{OwnedDeviceId, OwnedServerName, OwnedServerSigningKeyId, OwnedUserId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue as RawJsonValue;

/// Raw JSON that is passed on as it is.
pub type RawJson = Box<RawJsonValue>;

/// Who asks: an authenticated local user on one of their devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The user.
    pub user_id: OwnedUserId,
    /// The device the access token belongs to.
    pub device_id: OwnedDeviceId,
}

/// Who asks a room for what it has: events come back as the requester may see them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Requester {
    /// A local user. Events come in the client format.
    User(Caller),
    /// Another server, whose request was verified. Events come as they go over federation.
    Server(OwnedServerName),
}

/// A key of a server that may have signed events or requests.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServerKey {
    /// The server.
    pub server: OwnedServerName,
    /// The key's ID.
    pub key_id: OwnedServerSigningKeyId,
    /// The public key, unpadded base64.
    pub key: String,
    /// Until when the server has said it would use the key.
    pub valid_until_ms: u64,
    /// Since when the server does not use it any more.
    pub expired_ms: Option<u64>,
}

/// All questions to one kind of object, as one type.
pub trait Command: Debug + Serialize + DeserializeOwned + Send + 'static {
    /// What each of them is called.
    const NAMES: &'static [&'static str];

    /// Whether the command may be carried out twice when the first answer was lost
    /// ([`Ask::IS_REPEATABLE`]).
    fn is_repeatable(&self) -> bool;
}

/// A kind of object, as those see it who ask it.
pub trait Recipient: Send + 'static {
    /// What names one object of the kind.
    type Id: ?Sized + Sync;
    /// All questions to it.
    type Command: Command;
    /// All its answers.
    type Reply: Debug + Serialize + DeserializeOwned + Send + 'static;
}

/// A question to an object. Asked by [`ask`](crate::ports).
pub trait Ask: Sized + Send {
    /// Whom it goes to.
    type Recipient: Recipient;
    /// What is answered.
    type Reply;
    /// Whether the object may be asked once more when it is not known whether it has carried the
    /// question out: it reads only, or doing it twice does what doing it once does.
    const IS_REPEATABLE: bool;

    /// The question among all questions.
    fn into_command(self) -> <Self::Recipient as Recipient>::Command;

    /// The answer among all answers; none: it answers another question.
    fn from_reply(reply: <Self::Recipient as Recipient>::Reply) -> Option<Self::Reply>;
}

/// Makes `Command` and `Reply` of one kind of object, and an [`Ask`] of every question, from one
/// list: `Question => Answer, repeatable | once;`.
macro_rules! asks {
    ($recipient:ty: $($question:ident => $answer:ty, $repeats:ident;)+) => {
        /// What may be asked: the wire form of every question.
        #[derive(Debug, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Command {
            $(#[doc = concat!("[`", stringify!($question), "`].")] $question(Box<$question>),)+
        }

        /// What is answered, under the name of the question.
        #[derive(Debug, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Reply {
            $(#[doc = concat!("To [`", stringify!($question), "`].")] $question($answer),)+
        }

        impl $crate::messages::Command for Command {
            const NAMES: &'static [&'static str] = &[$(stringify!($question),)+];

            fn is_repeatable(&self) -> bool {
                match self {
                    $(Self::$question(_) => <$question as $crate::messages::Ask>::IS_REPEATABLE,)+
                }
            }
        }

        $(
            impl $crate::messages::Ask for $question {
                type Recipient = $recipient;
                type Reply = $answer;
                const IS_REPEATABLE: bool = $crate::messages::asks!(@$repeats);

                fn into_command(self) -> Command {
                    Command::$question(Box::new(self))
                }

                fn from_reply(reply: Reply) -> Option<$answer> {
                    match reply {
                        Reply::$question(answer) => Some(answer),
                        _ => None,
                    }
                }
            }
        )+
    };
    (@repeatable) => { true };
    (@once) => { false };
}
pub(crate) use asks;

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: &str = r#"{"n": 1.0,  "z": [], "a": null}"#;

    /// A tag inside the object (`#[serde(tag = …)]`) would make serde buffer the rest, and raw
    /// JSON cannot be read from that buffer.
    #[test]
    fn raw_json_survives_the_wire() {
        let raw = || RawJsonValue::from_string(RAW.to_owned()).unwrap();
        let reply = room::Reply::GetState(vec![raw()]);
        let json = serde_json::to_string(&reply).unwrap();
        let Ok(room::Reply::GetState(events)) = serde_json::from_str(&json) else {
            panic!("{json}")
        };
        assert_eq!(events[0].get(), raw().get());
        let question = user::SetAccountData {
            room_id: None,
            event_type: "org.example".to_owned(),
            content: raw(),
        };
        let json = serde_json::to_string(&question.into_command()).unwrap();
        let Ok(user::Command::SetAccountData(read)) = serde_json::from_str(&json) else {
            panic!("{json}")
        };
        assert_eq!(read.content.get(), raw().get());
    }
}
