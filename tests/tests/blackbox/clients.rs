//! Real clients live through the whole story of a conversation. `scripts/setup` installs the
//! clients; the file `.tools/env` that it writes puts the right `node` and `python3` first in the
//! path.

mod conversation;
mod encryption;
mod encryption_beside_synapse;

use skerry_tests::{repository, secrets};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Command, Stdio},
    thread,
};

/// What begins a line by which a story asks for something that it cannot do itself.
const WISH: &str = "please: ";

/// The story of matrix-rust-sdk, which `scripts/setup` compiles.
const RUST_SDK: &str = "rust-sdk-story";

/// Runs a story with clients of these servers to its end.
fn tell(script: &str, servers: &[&str]) {
    tell_with(script, servers, |wish| panic!("{script} wants {wish}"));
}

/// The same with somebody who fulfils its wishes.
fn tell_with(script: &str, servers: &[&str], mut fulfil: impl FnMut(&str)) {
    let mut told = String::new();
    let mut story = start(script, servers);
    let mut stderr = story.stderr.take().expect("standard error");
    let errors = thread::spawn(move || {
        let mut errors = Vec::new();
        // What could be read is shown.
        let _ = stderr.read_to_end(&mut errors);
        String::from_utf8_lossy(&errors).into_owned()
    });
    let mut stdin = story.stdin.take().expect("standard input");
    let stdout = BufReader::new(story.stdout.take().expect("standard output"));
    for line in stdout.lines().map_while(Result::ok) {
        if let Some(wish) = line.strip_prefix(WISH) {
            fulfil(wish);
            // It may have ended meanwhile, which is seen below.
            let _ = writeln!(stdin, "done");
        }
        told += &line;
        told.push('\n');
    }
    let status = story.wait().expect("it ends");
    told += &errors.join().expect("what it said of errors");
    // Shown where the test fails, or where all is shown.
    println!("{told}");
    let secrets: Vec<_> = told.lines().filter_map(|it| it.strip_prefix("secret: ")).collect();
    assert!(!secrets.is_empty(), "{script} told no secrets");
    secrets.into_iter().for_each(secrets::note_secret);
    assert!(status.success(), "{script} said {status}");
    assert!(told.contains("all done"), "{script} ended early");
}

fn start(script: &str, servers: &[&str]) -> Child {
    let folder = repository().join("tests/clients");
    // What they say stands in their sources, or is told as their tokens are.
    for source in fs::read_dir(&folder).expect("scripts") {
        let path = source.expect("a script").path();
        if path.is_file() {
            secrets::note_json(&fs::read(path).expect("a script"));
        }
    }
    let mut command = match script.rsplit_once('.') {
        Some((_, "py")) => Command::new("python3"),
        Some(_) => Command::new("node"),
        None => Command::new(repository().join(".tools/bin").join(script)),
    };
    if script.contains('.') {
        command.arg(folder.join(script));
    }
    command.args(servers);
    command.envs([("SKERRY_TELL_SECRETS", "1"), ("PYTHONDONTWRITEBYTECODE", "1")]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap_or_else(|error| panic!("{script} cannot be run: {error}"))
}
