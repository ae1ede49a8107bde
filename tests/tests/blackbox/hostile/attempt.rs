//! Makes requests: what an endpoint expects, odd in one part, or in a few.

use super::{
    Route, bodies,
    cast::Cast,
    examples::{self, Example},
    oddities, one_of,
    rng::Rng,
    sent::Sent,
};
use skerry_tests::{Value, encode};

/// The parts of a request.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Method,
    Path,
    Query,
    Body,
    Token,
    Headers,
}

/// Parts for which a request is refused before its body is read.
const UNREAD: [Part; 3] = [Part::Method, Part::Path, Part::Token];

/// The most bytes of a body that is not read. Of more, workerd ends the connection, and with it
/// what of the answer is on its way.
const MOST_BYTES_UNREAD: usize = 32 * 1024;

/// Methods that HTTP knows, and no endpoint.
const METHODS: [&str; 14] = [
    "GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "PROPFIND", "LOCK",
    "MOVE", "QUERY", "PURGE", "MKCOL",
];

/// Headers that make some server or other do something else.
const HEADERS: [(&str, &[u8]); 22] = [
    ("Accept", b"text/html"),
    ("Accept-Encoding", b"gzip, br, nonsense;q=2"),
    ("Accept-Language", b"\xff\xfe"),
    ("Range", b"bytes=0-0,5-"),
    ("If-None-Match", b"*"),
    ("If-Modified-Since", b"yesterday"),
    ("X-HTTP-Method-Override", b"DELETE"),
    ("X-Forwarded-For", b"' OR 1=1, ::1, 999.1.1.1"),
    ("X-Forwarded-Host", b"evil.example"),
    ("X-Original-URL", b"/_matrix/client/v3/logout"),
    ("CF-Connecting-IP", b"not an address \xc3\xa9"),
    ("Forwarded", b"for=\"[::1\";proto=gopher"),
    ("Origin", b"null"),
    ("Cookie", b"access_token=x; \"=\""),
    ("Expect", b"100-continue"),
    ("Upgrade", b"websocket"),
    ("Sec-WebSocket-Key", b"x"),
    ("User-Agent", b"\xf0\x9f\xa6\x80 ' \" <script>"),
    ("TE", b"trailers, deflate"),
    ("Content-Language", b"tlh"),
    ("Priority", b"u=99"),
    ("X-Empty", b""),
];

const ENCODINGS: [&[u8]; 5] = [b"gzip", b"br", b"identity", b"chunked", b"nonsense, gzip"];

const TYPES: [&[u8]; 8] = [
    b"text/plain",
    b"application/x-www-form-urlencoded",
    b"multipart/form-data; boundary=x",
    b"application/json; charset=utf-16",
    b"application/json; charset=\xff",
    b"application/octet-stream",
    b"/",
    b"",
];

/// A request to that endpoint that is odd. From the same numbers and for the same cast it is the
/// same, but for names that are to be new.
pub(super) fn odd(rng: &mut Rng, route: &Route, cast: &Cast) -> Sent {
    let example = examples::of(route, cast, rng);
    let odd = odd_parts(rng, route, &example);
    make(rng, route, cast, &example, &odd)
}

/// A request to that endpoint as anybody may send it.
pub(super) fn plain(rng: &mut Rng, route: &Route, cast: &Cast) -> Sent {
    let example = examples::of(route, cast, rng);
    make(rng, route, cast, &example, &[])
}

fn make(rng: &mut Rng, route: &Route, cast: &Cast, example: &Example, odd: &[Part]) -> Sent {
    let is_odd = |part| odd.contains(&part);
    let method = match is_odd(Part::Method) {
        true => one_of(rng, &METHODS).to_string(),
        false => route.method.clone(),
    };
    let path = path(rng, route, example, cast, is_odd(Part::Path));
    let mut query = query(rng, example, cast, is_odd(Part::Query));
    let mut headers = Vec::new();
    match is_odd(Part::Token) {
        true => odd_token(rng, cast, &mut headers, &mut query),
        false => headers.push(bearer(&cast.asker.token)),
    }
    if is_odd(Part::Headers) {
        for _ in 0..=rng.below(4) {
            let (name, value) = one_of(rng, &HEADERS);
            headers.push(((*name).to_owned(), value.to_vec()));
        }
    }
    let mut sent =
        Sent { method, target: target(&path, &query), headers, body: None, chunks: None };
    add_body(rng, &mut sent, example, cast, is_odd(Part::Body));
    let is_unread = route.method == "GET" || odd.iter().any(|it| UNREAD.contains(it));
    if let Some(body) = sent.body.as_mut().filter(|_| is_unread) {
        body.truncate(MOST_BYTES_UNREAD);
    }
    sent
}

/// Mostly one: whatever is odd besides is not looked at.
fn odd_parts(rng: &mut Rng, route: &Route, example: &Example) -> Vec<Part> {
    let has_arguments = route.path.contains('{');
    let has_body = example.body.is_some();
    let has_query = !example.query.is_empty();
    let weighted = [
        (Part::Method, 1),
        (Part::Path, if has_arguments { 6 } else { 1 }),
        (Part::Query, if has_query { 8 } else { 1 }),
        (Part::Body, if has_body { 14 } else { 1 }),
        (Part::Token, 2),
        (Part::Headers, 2),
    ];
    let parts: Vec<Part> =
        weighted.into_iter().flat_map(|(part, weight)| vec![part; weight]).collect();
    let count = match rng.below(100) {
        0..=9 => 0,
        10..=84 => 1,
        85..=95 => 2,
        _ => 4,
    };
    (0..count).map(|_| *one_of(rng, &parts)).collect()
}

fn path(rng: &mut Rng, route: &Route, example: &Example, cast: &Cast, is_odd: bool) -> String {
    let segments: Vec<&str> = route.path.split('/').collect();
    let arguments: Vec<usize> =
        (0..segments.len()).filter(|it| segments[*it].starts_with('{')).collect();
    let odd = if is_odd { rng.pick(&arguments).copied() } else { None };
    let segments = segments.iter().enumerate().map(|(index, segment)| {
        let Some(name) = segment.strip_prefix('{').and_then(|it| it.strip_suffix('}')) else {
            return (*segment).to_owned();
        };
        let given = example.arguments.iter().find(|(it, _)| *it == name);
        let proper = given.map_or_else(|| cast.fitting(name, rng), |(_, value)| value.clone());
        match Some(index) == odd {
            true => oddities::encoded(rng, &proper),
            false => encode(&proper),
        }
    });
    let path = segments.collect::<Vec<_>>().join("/");
    match is_odd && (odd.is_none() || rng.percent(10)) {
        true => odd_path(rng, &path),
        false => path,
    }
}

/// A path that is not that of an endpoint, or not as it should be.
fn odd_path(rng: &mut Rng, path: &str) -> String {
    match rng.below(10) {
        7 => format!("http://elsewhere.example{path}"),
        8 => format!("{path}#{path}"),
        9 => format!("{path}/é\"|\\"),
        0 => format!("{path}/"),
        1 => format!("{path}/{}", encode(&oddities::text(rng))),
        2 => format!("/{path}"),
        3 => path.replacen('/', "//", 1 + rng.below(4)),
        4 => path.to_uppercase(),
        5 => path.rsplit_once('/').map_or("/", |(head, _)| head).to_owned() + "/..",
        // The first segment is literal.
        _ => format!("/%5f{}", path.trim_start_matches("/_")),
    }
}

type Query = Vec<(String, String)>;

/// The parameters, encoded.
fn query(rng: &mut Rng, example: &Example, cast: &Cast, is_odd: bool) -> Query {
    let mut query = Query::new();
    for (name, value) in &example.query {
        if rng.percent(60) {
            query.push(((*name).to_owned(), encode(value)));
        }
    }
    if !is_odd {
        return query;
    }
    let (name, proper) = match rng.pick(&example.query) {
        Some((name, value)) => ((*name).to_owned(), value.clone()),
        None => ("limit".to_owned(), "5".to_owned()),
    };
    query.retain(|(it, _)| *it != name);
    let filter = serde_json::from_str::<Value>(&proper).ok().filter(Value::is_object);
    let value = match (filter, rng.below(10)) {
        (Some(filter), 0..=7) => {
            let mut text = bodies::odd_in_one_place(rng, &filter, cast);
            text.truncate(MOST_BYTES_OF_QUERY);
            oddities::all_encoded(&text)
        }
        (_, 0..=3) => encode(oddities::number(rng)),
        (_, 4) => encode(&cast.fitting("", rng)),
        (_, 5) => {
            query.push((name.clone(), encode(&proper)));
            encode(&proper)
        }
        _ => oddities::encoded(rng, &proper),
    };
    match rng.below(12) {
        0 => query.push((encode(&oddities::text(rng)), value)),
        1 => query.push((format!("{name}[]"), value)),
        // Missing.
        2 => {}
        _ => query.push((name, value)),
    }
    query
}

/// Percent-encoded it is three times as long.
const MOST_BYTES_OF_QUERY: usize = 5_000;

fn target(path: &str, query: &Query) -> String {
    if query.is_empty() {
        return path.to_owned();
    }
    let parameters: Vec<String> =
        query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{path}?{}", parameters.join("&"))
}

fn bearer(token: &str) -> (String, Vec<u8>) {
    ("Authorization".to_owned(), format!("Bearer {token}").into())
}

/// A token that is none, or somebody else's, or not where it belongs.
fn odd_token(rng: &mut Rng, cast: &Cast, headers: &mut Vec<(String, Vec<u8>)>, query: &mut Query) {
    let (own, other) = (&cast.asker.token, &cast.peer.token);
    match rng.below(12) {
        0 => {}
        11 => headers.push(bearer(&of_nobody(rng, own))),
        1 | 2 => headers.push(bearer(other)),
        3 => headers.push(bearer(&own.chars().rev().collect::<String>())),
        4 => headers.push(bearer(&own[..own.len() / 2])),
        5 => headers.push(bearer(&"x".repeat(10_000))),
        6 => headers.push(bearer(&oddities::nearly(rng, own).replace(is_control, "~"))),
        7 => headers.extend([bearer(own), bearer(other)]),
        8 => headers.push(bearer(&cast.refresh_token)),
        9 => headers.push(("Authorization".to_owned(), b"Bearer \xff\xfe".to_vec())),
        _ => query.push(("access_token".to_owned(), own.clone())),
    }
}

/// What no header can have.
fn is_control(it: char) -> bool {
    it.is_ascii_control()
}

/// A token that has the form of one, and names a user whose name may be longer than any.
fn of_nobody(rng: &mut Rng, own: &str) -> String {
    // Base64 of so many letters.
    let name = "eHh4".repeat(1 + rng.below(2_000));
    let random = own.rsplit('_').next().unwrap_or_default();
    format!("ska_{name}_{random}")
}

fn add_body(rng: &mut Rng, sent: &mut Sent, example: &Example, cast: &Cast, is_odd: bool) {
    let expected = example.body.as_ref();
    if expected.is_none() && !is_odd {
        return;
    }
    sent.headers.push(("Content-Type".to_owned(), b"application/json".to_vec()));
    let proper = expected.cloned().unwrap_or_default();
    sent.body = match is_odd {
        false => Some(proper.to_string().into()),
        true if rng.percent(3) => None,
        true => Some(bodies::odd(rng, &proper, cast)),
    };
    let length = sent.body.as_ref().map_or(0, Vec::len);
    if is_odd && rng.percent(10) {
        // A host may take each chunk by itself.
        let least = 1 + length / 1_000;
        sent.chunks = Some(least + rng.below(length / 2 + 1));
    }
    if is_odd && rng.percent(5) {
        let encoding = one_of(rng, &ENCODINGS).to_vec();
        sent.headers.push(("Content-Encoding".to_owned(), encoding));
    }
    if is_odd && rng.percent(5) {
        sent.headers.retain(|(name, _)| name != "Content-Type");
        sent.headers.push(("Content-Type".to_owned(), one_of(rng, &TYPES).to_vec()));
    }
}
