//! A server that is started and stopped here, to time how long it takes to answer.

use std::{
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::{
    error::{Error, Result},
    http::{Connection, Request},
    target::Target,
};

const START_LIMIT: Duration = Duration::from_mins(2);
const STOP_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(2);

/// A running server, in a process group of its own.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pid: u32,
}

impl Server {
    /// Runs a shell command, and waits until `/versions` answers. Returns how long that took.
    pub(crate) async fn start(command: &str, target: &Arc<Target>) -> Result<(Self, Duration)> {
        if TcpStream::connect(&target.addresses[..]).await.is_ok() {
            let text = format!("something listens on {} already", target.authority);
            return Err(Error::Usage(text));
        }
        let started = Instant::now();
        // `exec` makes the shell become the server, so that its process is the child.
        let mut child = Command::new("sh")
            .args(["-c", &format!("exec {command}")])
            // Held open as long as the server is wanted: some end when it closes.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().ok_or_else(|| ended(command, None))?;
        let mut connection = Connection::new(target);
        while started.elapsed() < START_LIMIT {
            if answers(&mut connection).await {
                return Ok((Self { child, pid }, started.elapsed()));
            }
            if let Some(status) = child.try_wait()? {
                return Err(ended(command, Some(status)));
            }
            sleep(POLL).await;
        }
        Err(Error::Timeout { what: format!("the start of {command:?}"), limit: START_LIMIT })
    }

    /// The process ID of the server.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Asks the server to end, and kills it if it does not.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let group = format!("-{}", self.pid);
        Command::new("kill").args(["-TERM", "--", &group]).status().await?;
        if timeout(STOP_LIMIT, self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }
}

/// Waits until a server that somebody else has started answers.
pub(crate) async fn answers(connection: &mut Connection) -> bool {
    let path = "/_matrix/client/versions";
    let request = Request { method: "GET", path, token: None, body: None };
    matches!(connection.ask(request).await, Ok(200))
}

fn ended(command: &str, status: Option<ExitStatus>) -> Error {
    let status = status.map_or_else(String::new, |it| format!(" ({it})"));
    Error::Usage(format!("{command:?} ended at once{status}: run it by hand to see why"))
}
