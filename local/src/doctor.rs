//! The command that looks at a server of the federation from outside.

use std::{
    io::{self, Write as _},
    sync::Arc,
};

use ruma::ServerName;
use skerry::{
    Error, Result, bootstrap,
    peers::{Memory, Peers, examine::Finding},
    ports::Dns,
    server::{OwnKeys, Server},
};

use crate::{
    dns::NameServers,
    http::NativeHttp,
    machine::{SystemClock, SystemRandom},
    options::Options,
};

/// Says of each step on the way to a server what is there, and how to mend what is wrong.
///
/// # Errors
///
/// Where something is to be mended.
pub async fn doctor(options: &Options, server: &ServerName) -> Result<()> {
    let dns: Arc<dyn Dns> = Arc::new(NameServers::new(options.dns_server)?);
    let http = NativeHttp::new(&dns, options.trusted_ca.as_deref())?;
    // Whoever asks is nobody: nothing is asked that has to be signed.
    let keys =
        OwnKeys { current: bootstrap::new_key(&SystemRandom)?, next: Vec::new(), old: Vec::new() };
    let name = server.to_owned();
    let config = options.server_config(&name).map_err(Error::internal)?;
    let own = Server::new(name, keys, config);
    let memory = Memory::default();
    let peers = Peers::of_process((&http, &*dns), (&SystemClock, &SystemRandom), &own, &memory);
    let findings = peers.examine(server).await;
    say(&findings).map_err(Error::internal)?;
    match findings.iter().any(|it| it.advice.is_some()) {
        true => Err(Error::internal(format!("other servers do not reach {server}"))),
        false => Ok(()),
    }
}

fn say(findings: &[Finding]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for Finding { says, advice } in findings {
        match advice {
            None => writeln!(out, "ok     {says}")?,
            Some(advice) => writeln!(out, "WRONG  {says}\n       {advice}")?,
        }
    }
    out.flush()
}
