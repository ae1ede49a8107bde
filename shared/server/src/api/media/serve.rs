//! Files on their way out: which bytes of them, and the headers that keep browsers from making
//! more of a file than it is (S-K3).

use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use ruma::http_headers::{
    CROSS_ORIGIN_RESOURCE_POLICY, ContentDisposition, ContentDispositionType,
};
use skerry_core::media::{Mxc, Wanted, wanted};

use super::unknown;
use crate::{
    Error, Result,
    api::{
        Cx,
        answer::{Answer, Content},
    },
    ports::BlobStream,
    store::global::media::{READ_EVERY_MS, Stored, update_read},
};

/// As the specification recommends it: no scripts, nothing else loaded, in a place of its own.
const SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; \
     style-src 'unsafe-inline'; object-src 'self';",
);
/// A file never changes. Only who may ask for it keeps it, for a day.
const CACHE: HeaderValue = HeaderValue::from_static("private, max-age=86400, immutable");

/// How a browser is to take a file.
pub(in crate::api) fn disposition(stored: &Stored, name: Option<String>) -> ContentDisposition {
    let kind = match stored.may_be_shown {
        true => ContentDispositionType::Inline,
        false => ContentDispositionType::Attachment,
    };
    ContentDisposition::new(kind).with_filename(name.or_else(|| stored.file_name.clone()))
}

/// Some bytes of media that is here.
///
/// # Errors
///
/// `M_NOT_FOUND`, where they are lost.
pub(in crate::api) async fn bytes(
    cx: &Cx,
    mxc: &Mxc,
    stored: &Stored,
    range: std::ops::Range<u64>,
) -> Result<BlobStream> {
    if range.is_empty() {
        return Ok(Box::pin(stream::empty()));
    }
    let now_ms = cx.ports.clock.now_ms();
    if stored.read_at_ms.saturating_add(READ_EVERY_MS) < now_ms {
        cx.ports.global.batch(vec![update_read(mxc, now_ms)]).await?;
    }
    let found = cx.ports.blobs.get(&stored.blob, range).await?;
    found.ok_or_else(|| {
        tracing::error!(media = %mxc.uri(), "the bytes of media are lost");
        unknown()
    })
}

/// Answers a client with media that is here: with all of it, or with the part that is asked for.
///
/// # Errors
///
/// `M_NOT_FOUND`, where its bytes are lost.
pub(in crate::api) async fn answer(
    cx: &Cx,
    mxc: &Mxc,
    stored: &Stored,
    name: Option<String>,
    asked: &HeaderMap,
) -> Result<Answer> {
    let tag = format!("\"{}\"", stored.sha256);
    let size = stored.size_bytes;
    if has_tag(asked, &header::IF_NONE_MATCH, &tag) {
        let mut answer = Answer::new(Content::Whole(bytes::Bytes::new()));
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        add_headers(answer.headers_mut(), &tag, size)?;
        return Ok(answer);
    }
    let (status, range, said) = match part(asked, &tag, size) {
        Wanted::Whole => (StatusCode::OK, 0..size, None),
        Wanted::Part(range) => {
            let said = format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1));
            (StatusCode::PARTIAL_CONTENT, range, Some(said))
        }
        Wanted::Nothing => {
            let said = format!("bytes */{size}");
            (StatusCode::RANGE_NOT_SATISFIABLE, 0..0, Some(said))
        }
    };
    let length = range.end.saturating_sub(range.start);
    let bytes = bytes(cx, mxc, stored, range).await?;
    let mut answer = Answer::new(Content::File(length, bytes));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    add_headers(headers, &tag, size)?;
    if let Some(said) = said {
        headers.insert(header::CONTENT_RANGE, value(&said)?);
    }
    headers.insert(header::CONTENT_TYPE, value(&stored.content_type)?);
    let disposition = disposition(stored, name).to_string();
    headers.insert(header::CONTENT_DISPOSITION, value(&disposition)?);
    Ok(answer)
}

/// What is wanted. A part of another file than this one is not wanted.
fn part(asked: &HeaderMap, tag: &str, size: u64) -> Wanted {
    let range = asked.get(header::RANGE).and_then(|it| it.to_str().ok());
    match asked.contains_key(header::IF_RANGE) && !has_tag(asked, &header::IF_RANGE, tag) {
        true => Wanted::Whole,
        false => wanted(range, size),
    }
}

/// Whether a header names the tag of a file.
fn has_tag(asked: &HeaderMap, name: &HeaderName, tag: &str) -> bool {
    let values = asked.get_all(name).iter().filter_map(|it| it.to_str().ok());
    values.flat_map(|it| it.split(',')).any(|it| it.trim().trim_start_matches("W/") == tag)
}

fn add_headers(headers: &mut HeaderMap, tag: &str, size: u64) -> Result<()> {
    headers.insert(header::ETAG, value(tag)?);
    headers.insert(header::CACHE_CONTROL, CACHE);
    headers.insert(header::CONTENT_SECURITY_POLICY, SECURITY_POLICY);
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    if size > 0 {
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }
    Ok(())
}

fn value(text: &str) -> Result<HeaderValue> {
    HeaderValue::try_from(text).map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::BlobName;

    fn stored(file_name: Option<&str>) -> Stored {
        Stored {
            blob: BlobName::parse("ab".to_owned()).unwrap(),
            content_type: "image/png".to_owned(),
            file_name: file_name.map(ToOwned::to_owned),
            may_be_shown: true,
            size_bytes: 10,
            sha256: "0f".to_owned(),
            stored_at_ms: 0,
            read_at_ms: 0,
        }
    }

    /// S-I1
    #[test]
    fn a_name_splits_no_header() {
        let cases = [
            (None, "inline"),
            (Some("a.png"), "inline; filename=a.png"),
            (Some("a b.png"), "inline; filename=\"a b.png\""),
            (Some("\"\r\nX: 1"), "inline; filename=\"\\\"X: 1\""),
            (Some("\u{e9}\r\n.png"), "inline; filename*=utf-8''%C3%A9%0D%0A.png"),
        ];
        for (name, expected) in cases {
            let said = disposition(&stored(name), None).to_string();
            assert_eq!(said, expected, "{name:?}");
            value(&said).unwrap();
        }
        let renamed = disposition(&stored(Some("a.png")), Some("b.png".to_owned()));
        assert_eq!(renamed.to_string(), "inline; filename=b.png");
    }

    #[test]
    fn a_part_is_of_the_file_that_the_client_has() {
        let cases: [(&[(&HeaderName, &str)], Wanted); 5] = [
            (&[], Wanted::Whole),
            (&[(&header::RANGE, "bytes=1-2")], Wanted::Part(1..3)),
            (&[(&header::RANGE, "bytes=1-2"), (&header::IF_RANGE, "\"0f\"")], Wanted::Part(1..3)),
            (&[(&header::RANGE, "bytes=1-2"), (&header::IF_RANGE, "\"0e\"")], Wanted::Whole),
            (&[(&header::RANGE, "bytes=1-2"), (&header::IF_RANGE, "yesterday")], Wanted::Whole),
        ];
        for (headers, expected) in cases {
            let mut asked = HeaderMap::new();
            for (name, value) in headers {
                asked.insert((*name).clone(), value.parse().unwrap());
            }
            assert_eq!(part(&asked, "\"0f\"", 10), expected, "{headers:?}");
        }
    }
}
