//! What is said of servers that others do not get to.

use serde_json::json;

use super::*;
use crate::{
    peers::testing::{World, name, now, well_known},
    ports::scripted::Scripted,
};

fn findings(world: &World, server: &str) -> Vec<(String, bool)> {
    let found = now(world.peers().examine(&name(server)));
    found.into_iter().map(|it| (it.says, it.advice.is_none())).collect()
}

fn version(place: &str) -> String {
    format!("https://{place}/_matrix/federation/v1/version")
}

/// What `.well-known` and the place it leads to answer; parts of what is said, and whether it is
/// fine.
type Case = (Scripted, Scripted, &'static [(&'static str, bool)]);

#[test]
fn each_step_says_what_is_wrong_there() {
    let absent = || Scripted::new(StatusCode::NOT_FOUND, "");
    let cases: [Case; 6] = [
        (
            Scripted::ok(r#"{"m.server":"matrix.b.example:443"}"#),
            Scripted::fails(Fault::Tls),
            &[("leads to matrix.b.example:443", true), ("as matrix.b.example:443", false)],
        ),
        (
            Scripted::ok(r#"{"m.server":"matrix.b.example:443"}"#),
            absent(),
            &[("leads to matrix.b.example:443", true), ("status 404", false)],
        ),
        (
            Scripted::ok("<html>"),
            absent(),
            &[("no valid answer", false), ("https://b.example:8448", false)],
        ),
        (
            absent(),
            absent(),
            &[("does not lead elsewhere", true), ("https://b.example:8448", false)],
        ),
        (
            Scripted::fails(Fault::Connect),
            absent(),
            &[("does not lead elsewhere", true), ("https://b.example:8448", false)],
        ),
        (
            Scripted::ok(r#"{"m.server":"matrix.b.example:443"}"#),
            Scripted::ok(json!({}).to_string()),
            &[("leads to", true), ("answers", true), ("its keys are not to be had", false)],
        ),
    ];
    for (delegation, answer, expected) in cases {
        let world = World::new();
        world.http.on(&well_known("b.example"), delegation);
        world.http.on(&version("matrix.b.example"), answer);
        world.services("_matrix-fed._tcp.b.example", 60, &[]);
        world.services("_matrix._tcp.b.example", 60, &[]);
        let found = findings(&world, "b.example");
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for ((says, is_fine), (part, expected)) in found.iter().zip(expected) {
            assert!(says.contains(part), "{says} has no {part}");
            assert_eq!(is_fine, expected, "{says}");
        }
    }
}
