//! What a server answered, with assertions that say what was asked when they fail.

use serde_json::Value;

/// One answer, read to its end.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Place in the test, method and path, for failure messages.
    pub asked: String,
    /// The HTTP status.
    pub status: u16,
    /// Header names in lower case with their values, in order.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub text: String,
    /// The body as JSON; `Null` when it is not JSON.
    pub json: Value,
}

impl Reply {
    /// The JSON body of a 200.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{self}");
        assert!(!self.json.is_null(), "a success without JSON: {self}");
        self.json
    }

    /// The JSON body of a refusal with exactly this status and error code.
    #[track_caller]
    pub fn refused(self, status: u16, errcode: &str) -> Value {
        let expected = format!("{status} {errcode}");
        let code = self.errcode();
        assert!(self.status == status && code == errcode, "expected {expected}: {self}");
        assert!(self.json["error"].is_string(), "a refusal needs an `error` text: {self}");
        self.json
    }

    /// Asserts a refusal that is one of those, where the spec leaves the choice.
    #[track_caller]
    pub fn refused_with_any(self, expected: &[(u16, &str)]) -> Value {
        let found =
            expected.iter().any(|(status, code)| self.status == *status && self.errcode() == *code);
        assert!(found, "expected one of {expected:?}: {self}");
        self.json
    }

    /// Asserts that the request was judged the client's fault and answered as Matrix says.
    #[track_caller]
    pub fn client_error(self) -> Value {
        assert!((400..500).contains(&self.status), "expected a 4xx: {self}");
        assert!(self.errcode().starts_with("M_"), "a refusal needs an `errcode`: {self}");
        self.json
    }

    /// The `errcode`, or nothing.
    pub fn errcode(&self) -> &str {
        self.json["errcode"].as_str().unwrap_or_default()
    }

    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown: String = self.text.chars().take(2_000).collect();
        write!(f, "{} answered {}: {shown}", self.asked, self.status)
    }
}
