//! Requests that ruma reads or answers otherwise than the specification has it.

use std::{borrow::Cow, collections::BTreeMap};

use http::{Method, Uri};
use ruma::api::{
    IncomingRequest, Metadata, OutgoingBodyJson, OutgoingResponse,
    error::{DeserializationError, IntoHttpError},
};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

/// A request of ruma, and what was done to it.
#[derive(Debug)]
pub struct Patched<R, P> {
    /// What ruma has read.
    pub request: R,
    /// What the patch has kept.
    pub patch: P,
}

/// What is done to requests that ruma reads as `R`.
pub trait Patch<R>: Sized {
    /// What answers the request: ruma's response, or another.
    type Response: OutgoingResponse;

    /// Looks at a body before ruma does. It may change or refuse it, and keep something of it.
    ///
    /// # Errors
    ///
    /// Why the request is refused.
    fn patch(body: &mut Body<'_>) -> Result<Self, DeserializationError>;

    /// A parameter of the query that is added, and its value, unless the client has set it.
    const DEFAULT_PARAMETER: Option<(&'static str, &'static str)> = None;
}

/// The body of a request.
#[derive(Debug)]
pub struct Body<'a>(Cow<'a, [u8]>);

impl Body<'_> {
    /// Reads it as something else than ruma does.
    ///
    /// # Errors
    ///
    /// What `T` refuses.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        serde_json::from_slice(&self.0)
    }

    /// Adds a field, unless the client has set it.
    ///
    /// # Errors
    ///
    /// A body that is no JSON object.
    pub fn set_default(&mut self, field: &str, value: impl Serialize) -> serde_json::Result<()> {
        let mut fields: BTreeMap<String, Box<RawValue>> = self.read()?;
        if !fields.contains_key(field) {
            fields.insert(field.to_owned(), to_raw_value(&value)?);
            self.0 = Cow::Owned(serde_json::to_vec(&fields)?);
        }
        Ok(())
    }
}

impl<R: Metadata, P> Metadata for Patched<R, P> {
    const METHOD: Method = R::METHOD;
    const RATE_LIMITED: bool = R::RATE_LIMITED;
    type Authentication = R::Authentication;
    type PathBuilder = R::PathBuilder;
    const PATH_BUILDER: Self::PathBuilder = R::PATH_BUILDER;
}

impl<R: IncomingRequest, P: Patch<R>> IncomingRequest for Patched<R, P> {
    type EndpointError = R::EndpointError;
    type OutgoingResponse = P::Response;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        path_args: &[&str],
    ) -> Result<Self, DeserializationError> {
        let (mut parts, body) = request.into_parts();
        if let Some(parameter) = P::DEFAULT_PARAMETER
            && let Some(uri) = with_parameter(&parts.uri, parameter)
        {
            parts.uri = uri;
        }
        let mut body = Body(body.into());
        let patch = P::patch(&mut body)?;
        let request = http::Request::from_parts(parts, &*body.0);
        R::try_from_http_request_inner(request, path_args).map(|request| Self { request, patch })
    }
}

/// The URI with a parameter in its query; none where it has it already.
fn with_parameter(uri: &Uri, (name, value): (&str, &str)) -> Option<Uri> {
    let query = uri.query().unwrap_or_default();
    if query.split('&').any(|it| it.split('=').next() == Some(name)) {
        return None;
    }
    let separator = if query.is_empty() { "" } else { "&" };
    format!("{}?{query}{separator}{name}={value}", uri.path()).parse().ok()
}

/// A request that is answered with [`Json`].
#[derive(Debug)]
pub struct AnsweredAsJson;

impl<R> Patch<R> for AnsweredAsJson {
    type Response = Json;

    fn patch(_: &mut Body<'_>) -> Result<Self, DeserializationError> {
        Ok(Self)
    }
}

/// JSON as a response: where ruma's own would leave out what clients count on.
#[derive(Debug, Serialize, OutgoingBodyJson)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

impl Json {
    /// The JSON of a response.
    ///
    /// # Errors
    ///
    /// What cannot be written as JSON.
    pub fn of(response: &impl Serialize) -> serde_json::Result<Self> {
        to_raw_value(response).map(Self)
    }
}

impl OutgoingResponse for Json {
    type Body = Self;

    fn try_into_http_response_inner(self) -> Result<http::Response<Self>, IntoHttpError> {
        Ok(http::Response::new(self))
    }
}

/// Reads a body as the API reads one.
#[cfg(test)]
pub(super) fn read<R: IncomingRequest>(
    body: &[u8],
    path_args: &[&str],
) -> Result<R, DeserializationError> {
    R::try_from_http_request_inner(http::Request::new(body), path_args)
}

#[cfg(test)]
mod tests {
    use ruma::api::client::tag::create_tag::v3::{Request, Response};
    use serde_json::{Value as JsonValue, json};

    use super::*;

    const PATH_ARGS: [&str; 3] = ["@a:x.y", "!a:x.y", "u.tag"];

    #[test]
    fn a_default_is_set_where_the_client_has_set_nothing() {
        let cases: [(&[u8], Option<JsonValue>); 6] = [
            (b"{}", Some(json!({ "field": 7 }))),
            (br#"{"field":1}"#, Some(json!({ "field": 1 }))),
            (br#"{"field":null}"#, Some(json!({ "field": null }))),
            (br#"{"other":{"a":[1]}}"#, Some(json!({ "other": { "a": [1] }, "field": 7 }))),
            (b"[]", None),
            (b"", None),
        ];
        for (body, expected) in cases {
            let mut patched = Body(body.into());
            let result = patched.set_default("field", 7);
            let found = result.and_then(|()| patched.read::<JsonValue>()).ok();
            assert_eq!(found, expected, "{}", String::from_utf8_lossy(body));
        }
    }

    /// Sets an order, and keeps what the client said.
    struct Ordered(JsonValue);

    impl Patch<Request> for Ordered {
        type Response = Response;

        fn patch(body: &mut Body<'_>) -> Result<Self, DeserializationError> {
            let said: JsonValue = body.read()?;
            if said.get("refused").is_some() {
                body.read::<String>()?;
            }
            body.set_default("order", 0.5)?;
            Ok(Self(said))
        }
    }

    #[test]
    fn ruma_reads_what_the_patch_has_made_of_the_body() {
        let patched = read::<Patched<Request, Ordered>>(b"{}", &PATH_ARGS).unwrap();
        assert_eq!(patched.request.tag_info.order, Some(0.5));
        assert_eq!(patched.patch.0, json!({}));
        let said = br#"{"order":0.25}"#;
        let patched = read::<Patched<Request, Ordered>>(said, &PATH_ARGS).unwrap();
        assert_eq!(patched.request.tag_info.order, Some(0.25));
        assert_eq!(patched.request.user_id, "@a:x.y");
    }

    #[test]
    fn a_parameter_is_added_where_the_client_has_not_set_it() {
        let cases = [
            ("/a", Some("/a?dir=f")),
            ("/a?", Some("/a?dir=f")),
            ("/a?limit=1", Some("/a?limit=1&dir=f")),
            ("/a?dirt=b", Some("/a?dirt=b&dir=f")),
            ("http://x.y/a%2Fb?limit=1", Some("/a%2Fb?limit=1&dir=f")),
            ("/a?dir=b", None),
            ("/a?limit=1&dir=", None),
            ("/a?dir", None),
        ];
        for (uri, expected) in cases {
            let found = with_parameter(&uri.parse().unwrap(), ("dir", "f"));
            assert_eq!(found.map(|it| it.to_string()).as_deref(), expected, "{uri}");
        }
    }

    #[test]
    fn what_the_patch_refuses_is_refused() {
        let refused = read::<Patched<Request, Ordered>>(br#"{"refused":1}"#, &PATH_ARGS);
        assert!(refused.is_err());
    }

    #[test]
    fn method_and_paths_stay() {
        assert_eq!(Patched::<Request, Ordered>::METHOD, Request::METHOD);
        let paths = |it: <Request as Metadata>::PathBuilder| format!("{it:?}");
        let patched = Patched::<Request, Ordered>::PATH_BUILDER;
        assert_eq!(paths(patched), paths(Request::PATH_BUILDER));
    }

    #[test]
    fn json_is_a_response() {
        let response = Json::of(&json!({ "a": 1 })).unwrap();
        let response = response.try_into_http_response_inner().unwrap();
        assert_eq!(response.body().0.get(), r#"{"a":1}"#);
    }
}
