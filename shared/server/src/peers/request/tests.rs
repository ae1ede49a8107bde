//! What another server sees of a request, and what comes of its answer.

use http::StatusCode;
use ruma::{
    CanonicalJsonObject, RoomAliasId,
    api::{
        error::ErrorKind,
        federation::{
            authentication::XMatrix, backfill, discovery::get_server_version,
            query::get_room_information, transactions,
        },
    },
    serde::Base64,
    signatures::PublicKeyMap,
};
use serde_json::{json, value::to_raw_value};

use super::*;
use crate::{
    peers::testing::{World, name, now},
    ports::{
        http::{Addresses, Fault},
        scripted::Scripted,
    },
};

const LIMITS: Limits = Limits { max_answer_bytes: 1000, timeout: Duration::from_secs(10) };

fn directory(alias: &str) -> get_room_information::v1::Request {
    get_room_information::v1::Request::new(RoomAliasId::parse(alias).unwrap())
}

const DIRECTORY: &str =
    "https://b.example:1/_matrix/federation/v1/query/directory?room_alias=%23r%3Ab.example";

fn ask_directory(world: &World, server: &str) -> Result<String, PeerError> {
    let asked = now(world.peers().ask(&name(server), directory("#r:b.example"), LIMITS))?;
    Ok(asked.room_id.to_string())
}

fn found() -> Scripted {
    Scripted::ok(json!({ "room_id": "!r:b.example", "servers": [] }).to_string())
}

/// Verifies the last request as the server that it is for.
fn verify(world: &World, destination: &str) -> XMatrix {
    let recorded = world.http.requests().pop().unwrap();
    let target = &recorded.url[Position::BeforePath..Position::AfterQuery];
    let mut message = http::Request::new(recorded.body);
    *message.method_mut() = recorded.method;
    *message.uri_mut() = target.parse().unwrap();
    let signed = XMatrix::extract_from_http_headers(&recorded.headers).unwrap();
    assert_eq!(signed.origin, world.server.name);
    assert_eq!(signed.destination.as_deref(), Some(&*name(destination)));
    let key = Base64::parse(world.server.keys().current.public_base64()).unwrap();
    let id = world.server.keys().current.id().to_string();
    let keys = PublicKeyMap::from([(world.server.name.to_string(), [(id, key)].into())]);
    signed.verify_http_request(&message, &name(destination), &keys).unwrap();
    assert!(signed.verify_http_request(&message, &name("c.example"), &keys).is_err());
    signed
}

#[test]
fn a_request_is_signed_with_its_query() {
    let world = World::new();
    world.http.on(DIRECTORY, found());
    assert_eq!(ask_directory(&world, "b.example:1").unwrap(), "!r:b.example");
    verify(&world, "b.example:1");
    let recorded = world.http.requests().pop().unwrap();
    assert_eq!((&*recorded.host, &*recorded.certificate_host), ("b.example:1", "b.example"));
    assert_eq!(recorded.addresses, Addresses::Public);
    assert!(recorded.headers[http::header::USER_AGENT].to_str().unwrap().starts_with("Skerry/"));
}

#[test]
fn a_request_is_signed_with_its_body() {
    let world = World::new();
    let url = "https://b.example:1/_matrix/federation/v1/send/one%2Ftwo";
    world.http.on(url, Scripted::ok(json!({ "pdus": {} }).to_string()));
    let mut request = transactions::send_transaction_message::v1::Request::new(
        "one/two".into(),
        world.server.name.clone(),
        ruma::MilliSecondsSinceUnixEpoch(ruma::uint!(5)),
    );
    request.pdus = vec![to_raw_value(&json!({ "type": "m.room.message", "ü": [1] })).unwrap()];
    now(world.peers().ask(&name("b.example:1"), request, LIMITS)).unwrap();
    verify(&world, "b.example:1");
    let recorded = world.http.requests().pop().unwrap();
    let body: CanonicalJsonObject = serde_json::from_slice(&recorded.body).unwrap();
    assert_eq!(body["origin"].as_str(), Some("us.example"));
    assert_eq!(recorded.headers[http::header::CONTENT_TYPE], "application/json");
}

#[test]
fn the_server_is_asked_as_what_it_was_found_by_and_signed_for_as_what_it_is() {
    let world = World::new();
    let delegation = json!({ "m.server": "d.example" }).to_string();
    world.http.on("https://b.example/.well-known/matrix/server", Scripted::ok(delegation));
    world.services("_matrix-fed._tcp.d.example", 300, &[(1, 99, "host.example")]);
    let url = DIRECTORY.replace("b.example:1", "host.example:99");
    world.http.on(&url, found());
    ask_directory(&world, "b.example").unwrap();
    verify(&world, "b.example");
    let recorded = world.http.requests().pop().unwrap();
    assert_eq!((&*recorded.host, &*recorded.certificate_host), ("d.example", "d.example"));
}

#[test]
fn the_next_endpoint_is_asked_where_one_is_not_reached() {
    let world = World::new();
    let services = [(1, 1, "x.example"), (2, 1, "y.example"), (3, 1, "z.example")];
    world.services("_matrix-fed._tcp.b.example", 300, &services);
    let at = |host: &str| DIRECTORY.replace("b.example:1", &format!("{host}:1"));
    world.http.on(&at("x.example"), Scripted::fails(Fault::Tls));
    world.http.on(&at("y.example"), found());
    ask_directory(&world, "b.example").unwrap();
    let asked = world.http.urls();
    assert_eq!(asked[1..], [at("x.example"), at("y.example")]);
}

#[test]
fn a_request_that_may_have_been_seen_is_not_repeated() {
    let world = World::new();
    world.services("_matrix-fed._tcp.b.example", 300, &[(1, 1, "x.example"), (2, 1, "y.example")]);
    let at = |host: &str| DIRECTORY.replace("b.example:1", &format!("{host}:1"));
    for fault in [Fault::Timeout, Fault::Protocol] {
        world.http.on(&at("x.example"), Scripted::fails(fault));
    }
    for fault in [Fault::Timeout, Fault::Protocol] {
        let error = ask_directory(&world, "b.example").unwrap_err();
        assert!(matches!(&error, PeerError::Http(it) if it.fault == fault), "{error:?}");
    }
    assert!(!world.http.urls().contains(&at("y.example")));
}

#[test]
fn where_nobody_is_reached_name_servers_are_asked_again() {
    let world = World::new();
    world.services("_matrix-fed._tcp.b.example", 3000, &[(1, 1, "gone.example")]);
    let error = ask_directory(&world, "b.example").unwrap_err();
    assert!(matches!(&error, PeerError::Http(it) if it.fault == Fault::Connect), "{error:?}");
    assert!(error.may_pass());
    world.services("_matrix-fed._tcp.b.example", 3000, &[(1, 1, "b.example")]);
    world.http.on(DIRECTORY, found());
    ask_directory(&world, "b.example").unwrap();
}

#[test]
fn an_answer_has_a_size_and_a_time() {
    let large = Scripted::ok(format!("\"{}\"", "x".repeat(1000)));
    let slow = found().trickling(1, Duration::from_secs(1));
    for (answer, fault) in [(large, Fault::TooLarge), (slow, Fault::Timeout)] {
        let world = World::new();
        world.http.on(DIRECTORY, answer);
        let error = ask_directory(&world, "b.example:1").unwrap_err();
        assert!(matches!(&error, PeerError::Http(it) if it.fault == fault), "{error:?}");
    }
}

#[test]
fn a_refusal_has_its_code() {
    let cases = [
        (403, r#"{"errcode":"M_FORBIDDEN","error":"no"}"#, Some("M_FORBIDDEN"), false),
        (429, r#"{"errcode":"M_LIMIT_EXCEEDED","error":"no"}"#, Some("M_LIMIT_EXCEEDED"), true),
        (502, "<html>", None, true),
        // A redirect is not followed: what was signed was signed for this server.
        (302, "", None, false),
    ];
    for (status, body, code, may_pass) in cases {
        let world = World::new();
        world.http.on(DIRECTORY, Scripted::new(StatusCode::from_u16(status).unwrap(), body));
        let error = ask_directory(&world, "b.example:1").unwrap_err();
        assert_eq!(error.may_pass(), may_pass, "{status}");
        let PeerError::Refused(refusal) = error else { panic!("{error:?}") };
        assert_eq!(refusal.status_code.as_u16(), status);
        let found = refusal.error_kind().map(ErrorKind::errcode);
        assert_eq!(found.as_ref().map(AsRef::as_ref), code);
    }
}

#[test]
fn an_answer_that_is_none_is_an_error() {
    for body in ["", "{}", "[]", r#"{"room_id":"r"}"#, "{\"room_id\""] {
        let world = World::new();
        world.http.on(DIRECTORY, Scripted::ok(body));
        let error = ask_directory(&world, "b.example:1").unwrap_err();
        assert!(matches!(error, PeerError::Answer(_)), "{body}: {error:?}");
    }
}

#[test]
fn what_was_signed_is_what_is_sent() {
    let world = World::new();
    let server = name("b.example:1");
    let event_id = ruma::EventId::parse("$..").unwrap();
    let room_id = ruma::RoomId::parse("!../../x:b.example").unwrap();
    let request = backfill::get_backfill::v1::Request::new(room_id, vec![event_id], ruma::uint!(1));
    // Everything that could change the path is escaped.
    let error = now(world.peers().ask(&server, request, LIMITS)).unwrap_err();
    assert!(matches!(error, PeerError::Http(_)), "{error:?}");
    verify(&world, "b.example:1");
    // Two dots are not, and would be taken for the folder above.
    let request = transactions::send_transaction_message::v1::Request::new(
        "..".into(),
        world.server.name.clone(),
        ruma::MilliSecondsSinceUnixEpoch(ruma::uint!(5)),
    );
    let error = now(world.peers().ask(&server, request, LIMITS)).unwrap_err();
    assert!(matches!(error, PeerError::Request(_)), "{error:?}");
    assert!(!error.may_pass());
}

#[test]
fn a_body_can_be_read_while_it_comes() {
    let world = World::new();
    world.http.on(DIRECTORY, found());
    let (peers, server) = (world.peers(), name("b.example:1"));
    let response = now(peers.stream(&server, directory("#r:b.example"), LIMITS)).unwrap();
    let body = now(response.bytes()).unwrap();
    assert!(body.starts_with(b"{"));
}

#[test]
fn a_request_without_a_name_is_not_signed() {
    let world = World::new();
    let url = "https://b.example:1/_matrix/federation/v1/version";
    world.http.on(url, Scripted::ok("{}"));
    let request = get_server_version::v1::Request::new();
    now(world.peers().ask_anonymously(&name("b.example:1"), request, LIMITS)).unwrap();
    let recorded = world.http.requests().pop().unwrap();
    assert!(!recorded.headers.contains_key(http::header::AUTHORIZATION));
}

#[test]
fn a_server_that_does_not_answer_keeps_few_waiting() {
    let world = World::new();
    let ask =
        |peers: Peers<'_>| now(peers.ask(&name("b.example:1"), directory("#r:b.example"), LIMITS));
    let asked = || world.http.requests().len();
    // Nothing is lost by asking again where a request fails at once.
    world.http.on(DIRECTORY, Scripted::fails(Fault::Timeout));
    ask(world.impatient_peers()).unwrap_err();
    ask(world.impatient_peers()).unwrap_err();
    assert_eq!(asked(), 2);

    world.step(1_000);
    let error = ask(world.impatient_peers()).unwrap_err();
    assert!(matches!(error, PeerError::Http(_)) && asked() == 3, "{error:?}");
    world.step(0);
    let error = ask(world.impatient_peers()).unwrap_err();
    assert!(matches!(error, PeerError::Silent(_)) && error.may_pass(), "{error:?}");
    // Who decides by itself when to try again is not kept from it.
    ask(world.peers()).unwrap_err();
    assert_eq!(asked(), 4);

    // It is heard of.
    world.hear_of("b.example:1");
    world.step(1_000);
    ask(world.impatient_peers()).unwrap_err();
    world.step(0);
    assert!(matches!(ask(world.impatient_peers()), Err(PeerError::Silent(_))) && asked() == 5);

    // In the end it is asked again in any case.
    world.pass(60_000);
    assert!(matches!(ask(world.impatient_peers()), Err(PeerError::Http(_))) && asked() == 6);
}
