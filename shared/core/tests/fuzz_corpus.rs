//! Replays the corpus of the fuzz targets.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    reason = "helpers of tests"
)]

#[path = "../../../fuzz/src/bodies.rs"]
mod bodies;

use std::{fs, path::PathBuf};

/// Files that each target has at least.
const MIN_FILES: usize = 15;

fn corpus(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target)
}

fn replay(target: &str, body: fn(&[u8])) {
    let files: Vec<_> = fs::read_dir(corpus(target)).unwrap().collect();
    assert!(files.len() >= MIN_FILES, "{target}: {}", files.len());
    for file in files {
        body(&fs::read(file.unwrap().path()).unwrap());
    }
}

#[test]
fn pdu() {
    replay("pdu", bodies::pdu);
}

#[test]
fn canonical_json() {
    replay("canonical_json", bodies::canonical_json);
}

#[test]
fn receipt() {
    replay("receipt", bodies::receipt);
}
