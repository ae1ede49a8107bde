//! Every step of the specification, and what goes wrong at each (F13).

use std::time::Duration;

use http::{HeaderValue, StatusCode, header};

use super::*;
use crate::{
    peers::testing::{World, well_known},
    ports::{
        dns::DnsError,
        http::{Addresses, Fault},
        scripted::Scripted,
    },
};

const FED: &str = "_matrix-fed._tcp.";
const OLD: &str = "_matrix._tcp.";

fn delegates(to: &str) -> Scripted {
    Scripted::ok(format!(r#"{{"m.server":"{to}"}}"#))
}

fn redirects(to: &str) -> Scripted {
    Scripted::new(StatusCode::FOUND, "")
        .header(header::LOCATION, HeaderValue::from_str(to).unwrap())
}

#[test]
fn steps_1_and_2_need_no_question() {
    let cases = [
        ("1.2.3.4", "1.2.3.4:8448 as 1.2.3.4"),
        ("1.2.3.4:5", "1.2.3.4:5 as 1.2.3.4:5"),
        ("[2606::1]", "[2606::1]:8448 as [2606::1]"),
        ("[2606::1]:5", "[2606::1]:5 as [2606::1]:5"),
        ("a.example:5", "a.example:5 as a.example:5"),
    ];
    for (server, expected) in cases {
        let world = World::new();
        assert_eq!(world.find(server).unwrap(), [expected]);
        assert!(world.http.requests().is_empty() && world.dns.questions().is_empty());
    }
}

#[test]
fn step_3_goes_where_the_server_delegates_to() {
    let cases = [
        ("9.9.9.9", vec!["9.9.9.9:8448 as 9.9.9.9"], vec![]),
        ("9.9.9.9:1", vec!["9.9.9.9:1 as 9.9.9.9:1"], vec![]),
        ("[2606::9]:1", vec!["[2606::9]:1 as [2606::9]:1"], vec![]),
        ("b.example:443", vec!["b.example:443 as b.example:443"], vec![]),
        ("fed.example", vec!["x.example:1 as fed.example"], vec![FED]),
        ("old.example", vec!["y.example:2 as old.example"], vec![FED, OLD]),
        ("b.example", vec!["b.example:8448 as b.example"], vec![FED, OLD]),
    ];
    for (delegate, expected, services) in cases {
        let world = World::new();
        world.http.on(&well_known("a.example"), delegates(delegate));
        world.services("_matrix-fed._tcp.fed.example", 300, &[(1, 1, "x.example")]);
        world.services("_matrix._tcp.old.example", 300, &[(1, 2, "y.example")]);
        // These are of the name that delegates, and do not count.
        world.services("_matrix-fed._tcp.a.example", 300, &[(1, 3, "wrong.example")]);
        assert_eq!(world.find("a.example").unwrap(), expected, "{delegate}");
        let asked: Vec<_> = services.iter().map(|it| format!("{it}{delegate}")).collect();
        assert_eq!(world.dns.questions(), asked, "{delegate}");
        assert_eq!(world.http.urls(), [well_known("a.example")], "a delegate is not asked");
    }
}

#[test]
fn steps_4_to_6_follow_when_there_is_no_delegation() {
    let bad = [
        ("not found", Scripted::new(StatusCode::NOT_FOUND, r#"{"m.server":"b.example"}"#)),
        ("created", Scripted::new(StatusCode::CREATED, r#"{"m.server":"b.example"}"#)),
        ("no JSON", Scripted::ok("<html>")),
        ("no property", Scripted::ok("{}")),
        ("no name", delegates("https://b.example")),
        ("refused", Scripted::fails(Fault::Connect)),
        ("no name found", Scripted::fails(Fault::Name)),
        ("another certificate", Scripted::fails(Fault::Tls)),
        ("no answer", Scripted::ok("{}").after(Duration::from_hours(1))),
        ("slow", delegates("b.example").trickling(1, Duration::from_secs(5))),
        ("cut", delegates("b.example").cut_after(10)),
        ("oversize", delegates(&format!("b.example\",\"x\":\"{}", "x".repeat(50 * 1024)))),
        ("nowhere", redirects("")),
        ("without TLS", redirects("http://b.example/")),
        ("to this machine", redirects("https://127.0.0.1/")),
        ("to a loop", redirects("/.well-known/matrix/server")),
    ];
    for (what, answer) in bad {
        let world = World::new();
        world.http.on(&well_known("a.example"), answer);
        assert_eq!(world.find("a.example").unwrap(), ["a.example:8448 as a.example"], "{what}");
        assert_eq!(world.dns.questions(), [format!("{FED}a.example"), format!("{OLD}a.example")]);
        assert!(world.http.requests().len() <= 1 + well_known::MAX_REDIRECTS, "{what}");
    }
    let world = World::new();
    world.services("_matrix._tcp.a.example", 300, &[(1, 2, "y.example")]);
    assert_eq!(world.find("a.example").unwrap(), ["y.example:2 as a.example"]);
    let world = World::new();
    world.services("_matrix._tcp.a.example", 300, &[(1, 2, "y.example")]);
    world.services("_matrix-fed._tcp.a.example", 300, &[(5, 1, "x.example"), (3, 1, "w.example")]);
    assert_eq!(
        world.find("a.example").unwrap(),
        ["w.example:1 as a.example", "x.example:1 as a.example"]
    );
    assert_eq!(world.dns.questions(), [format!("{FED}a.example")]);
}

#[test]
fn redirects_are_followed_to_what_they_lead_to() {
    let world = World::new();
    world.http.on(&well_known("a.example"), redirects("https://www.a.example/x"));
    world.http.on("https://www.a.example/x", redirects("/y"));
    world.http.on("https://www.a.example/y", delegates("b.example:1"));
    assert_eq!(world.find("a.example").unwrap(), ["b.example:1 as b.example:1"]);
    let expected = [
        well_known("a.example"),
        "https://www.a.example/x".to_owned(),
        "https://www.a.example/y".to_owned(),
    ];
    assert_eq!(world.http.urls(), expected);
}

#[test]
fn name_servers_that_fail_lead_nowhere() {
    let world = World::new();
    world.dns.on_services("_matrix-fed._tcp.a.example", Err(DnsError("no answer".to_owned())));
    let error = world.find("a.example").unwrap_err();
    assert!(matches!(error, PeerError::Dns(_)) && error.may_pass(), "{error:?}");
    // They answer again.
    world.services("_matrix-fed._tcp.a.example", 300, &[(1, 1, "x.example")]);
    assert_eq!(world.find("a.example").unwrap(), ["x.example:1 as a.example"]);
}

#[test]
fn a_server_may_say_that_it_is_not_available() {
    let world = World::new();
    world.services("_matrix-fed._tcp.a.example", 300, &[(0, 0, "")]);
    let error = world.find("a.example").unwrap_err();
    assert!(matches!(error, PeerError::Unavailable(_)), "{error:?}");
}

#[test]
fn an_answer_is_asked_for_again_when_its_time_is_over() {
    let world = World::new();
    let hour = HeaderValue::from_static("max-age=3600");
    let first = delegates("b.example:1").header(header::CACHE_CONTROL, hour);
    world.http.on(&well_known("a.example"), first);
    world.http.on(&well_known("a.example"), delegates("c.example:2"));
    for _ in 0..3 {
        assert_eq!(world.find("a.example").unwrap(), ["b.example:1 as b.example:1"]);
    }
    world.pass(3_600_000 - 1);
    assert_eq!(world.find("a.example").unwrap(), ["b.example:1 as b.example:1"]);
    assert_eq!(world.http.requests().len(), 1);
    world.pass(1);
    assert_eq!(world.find("a.example").unwrap(), ["c.example:2 as c.example:2"]);
    assert_eq!(world.http.requests().len(), 2);
}

#[test]
fn services_are_asked_for_again_before_a_delegation_is() {
    let world = World::new();
    world.http.on(&well_known("a.example"), delegates("b.example"));
    world.services("_matrix-fed._tcp.b.example", 300, &[(1, 1, "x.example")]);
    assert_eq!(world.find("a.example").unwrap(), ["x.example:1 as b.example"]);
    world.services("_matrix-fed._tcp.b.example", 300, &[(1, 2, "y.example")]);
    world.pass(299_999);
    assert_eq!(world.find("a.example").unwrap(), ["x.example:1 as b.example"]);
    world.pass(1);
    assert_eq!(world.find("a.example").unwrap(), ["y.example:2 as b.example"]);
    assert_eq!(world.http.requests().len(), 1);
}

#[test]
fn failures_are_repeated_less_and_less_often() {
    let world = World::new();
    let minute = 60_000;
    let mut asked = Vec::new();
    for elapsed in 0..=200_u64 {
        world.find("a.example").unwrap();
        if world.http.requests().len() > asked.len() {
            asked.push(elapsed);
        }
        world.pass(minute);
    }
    assert_eq!(asked, [0, 1, 3, 7, 15, 31, 63, 123, 183]);
}

#[test]
fn only_a_server_on_the_list_may_have_a_private_address() {
    let world = World::new();
    for server in ["a.example", "private.example", "Private.Example"] {
        world.find(server).unwrap();
    }
    let addresses: Vec<_> = world.http.requests().iter().map(|it| it.addresses).collect();
    // The two spellings are one host: its failure is remembered.
    assert_eq!(addresses, [Addresses::Public, Addresses::All]);
}
