//! The names new accounts may have ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/appendices/#user-identifiers

use ruma::{OwnedUserId, ServerName, UserId, api::error::ErrorKind};
use skerry_core::identifier::MAX_ID_BYTES;

use crate::{Error, Result};

/// The ID of a new account with this name. Capitals are taken for small letters: names that
/// differ by them alone would be a trap.
pub fn new_user_id(server_name: &ServerName, username: &str) -> Result<OwnedUserId> {
    let localpart = username.to_ascii_lowercase();
    let fits =
        |it: u8| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'=' | b'-' | b'/' | b'+');
    if localpart.is_empty() || !localpart.bytes().all(fits) {
        return Err(invalid("a user name is made of a-z, 0-9 and ._=-/+"));
    }
    if localpart.starts_with('_') {
        return Err(invalid("a user name does not begin with _"));
    }
    let user_id = format!("@{localpart}:{server_name}");
    if user_id.len() > MAX_ID_BYTES {
        return Err(invalid("the user name is too long"));
    }
    UserId::parse(user_id).map_err(|_| invalid("this is no user name"))
}

fn invalid(message: &'static str) -> Error {
    Error::api(ErrorKind::InvalidUsername, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_names_new_accounts_may_have() {
        let server_name = <&ServerName>::try_from("localhost").unwrap();
        let longest = "x".repeat(MAX_ID_BYTES - "@:localhost".len());
        let cases = [
            ("alice", Some("@alice:localhost")),
            ("Alice", Some("@alice:localhost")),
            ("a.b_c=d-e/f+0", Some("@a.b_c=d-e/f+0:localhost")),
            ("1", Some("@1:localhost")),
            (&longest, Some("")),
            (&format!("{longest}x"), None),
            ("", None),
            ("_bridge", None),
            ("two words", None),
            ("é", None),
            ("É", None),
            ("a:b", None),
            ("#room", None),
            ("@sigil", None),
            ("new\nline", None),
            ("nul\0", None),
        ];
        for (name, expected) in cases {
            let user_id = new_user_id(server_name, name).ok();
            match expected {
                Some("") => assert!(user_id.is_some(), "{name}"),
                _ => assert_eq!(user_id.as_ref().map(|it| it.as_str()), expected, "{name:?}"),
            }
        }
    }
}
