//! A program that runs beside the tests.
//!
//! It must die with the test process however that ends, so its life hangs on the read end of a
//! pipe: when the process is gone, the pipe closes.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Mutex, PoisonError, mpsc},
    time::Duration,
};

/// A cold start may have to compile Wasm beside other tests; a broken one is reported at once.
const START_TIMEOUT: Duration = Duration::from_mins(2);

/// Runs a program in the background and kills it without mercy when standard input closes. Plain
/// `sh`, because the program itself knows nothing of tests. Standard output is the program's alone:
/// it ends when the program does.
const GUARD: &str = r#""$@" & child=$!; exec >/dev/null; cat; kill -9 $child 2>/dev/null; wait"#;

/// Becomes a program that sees another `/etc/resolv.conf` than the system's.
const SEEING: &str = r#"mount --bind "$1" /etc/resolv.conf && shift && exec "$@""#;

/// A command for a program that would not end by itself when its standard input closes.
pub(crate) fn guarded(program: &Path, resolv_conf: Option<&Path>) -> Command {
    let seeing = seeing(program, resolv_conf);
    let mut command = Command::new("sh");
    command.args(["-c", GUARD, "guard"]).arg(seeing.get_program()).args(seeing.get_args());
    command
}

/// A command for a program that has these name servers for the system's, where some are named: in
/// a mount namespace of its own.
pub(crate) fn seeing(program: &Path, resolv_conf: Option<&Path>) -> Command {
    let Some(resolv_conf) = resolv_conf else { return Command::new(program) };
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", SEEING, "seeing"]).arg(resolv_conf).arg(program);
    command
}

/// A log; of one that cannot be read, nothing.
pub(crate) fn read_log(path: &Path) -> String {
    fs::read(path).map(|it| String::from_utf8_lossy(&it).into_owned()).unwrap_or_default()
}

#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    stdin: Mutex<Option<ChildStdin>>,
    /// The lines on standard output.
    lines: Mutex<mpsc::Receiver<String>>,
}

impl Process {
    /// Starts it in the root of the repository. What it prints is added to the log.
    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        let stderr = fs::File::options().create(true).append(true).open(log).expect("a log file");
        let copy = stderr.try_clone().expect("a log file");
        command.current_dir(repository()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(stderr).spawn().expect("the server can be spawned");
        let stdin = Mutex::new(child.stdin.take());
        let stdout = BufReader::new(child.stdout.take().expect("standard output"));
        let lines = Mutex::new(lines(stdout, copy));
        Self { child, stdin, lines }
    }

    /// The next of these lines; those before it are passed over.
    pub(crate) fn line(&mut self, is_meant: impl Fn(&str) -> bool) -> Option<String> {
        let lines = self.lines.get_mut().expect("nobody panicked while listening");
        std::iter::from_fn(|| lines.recv_timeout(START_TIMEOUT).ok()).find(|it| is_meant(it))
    }

    /// Writes a line to its standard input.
    pub(crate) fn say(&mut self, line: &str) {
        let stdin = self.stdin.get_mut().expect("nobody panicked while writing");
        let stdin = stdin.as_mut().expect("standard input");
        writeln!(stdin, "{line}").expect("the host listens");
    }

    /// The process that was started; the server itself may be one below it.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it, and waits until all that it has printed is in the log.
    pub(crate) fn end(&self) {
        drop(self.stdin.lock().unwrap_or_else(PoisonError::into_inner).take());
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        while lines.recv_timeout(START_TIMEOUT).is_ok() {}
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
        if let Err(error) = self.child.wait() {
            eprintln!("the server did not end: {error}");
        }
    }
}

/// Reads standard output to its end, so that the server never blocks on it. Its lines are also
/// written to the log: the Worker's host has its log there.
fn lines(
    stdout: BufReader<impl std::io::Read + Send + 'static>,
    mut log: fs::File,
) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            writeln!(log, "{line}").expect("a log file");
            // Nobody listens any more when the time is over; the output is still drained.
            sender.send(line).unwrap_or_default();
        }
    });
    lines
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent")
}
