//! Text that nobody may read by accident.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// A password, or what is stored of one. It is never printed, and wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Keeps a text secret.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for those who have to read it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{Ask as _, user};

    #[test]
    fn a_question_with_a_password_prints_none() {
        let question = user::CheckPassword { password: Secret::new("swordfish".to_owned()) };
        let command = question.into_command();
        assert!(!format!("{command:?}").contains("swordfish"), "{command:?}");
        let json = serde_json::to_string(&command).unwrap();
        assert_eq!(json, r#"{"check_password":{"password":"swordfish"}}"#);
        let Ok(user::Command::CheckPassword(read)) = serde_json::from_str(&json) else {
            panic!("{json}")
        };
        assert_eq!(read.password.expose(), "swordfish");
    }
}
