//! A run: the server, if it is started here, and the measurements in turn.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    error::{Error, Result},
    http::{Connection, Request},
    measure::Measure,
    options::Options,
    probe::{Probe, client_cpu},
    report::{Report, Sheet},
    spawn::{self, Server},
    stats::Latencies,
    target::Target,
    world::World,
};

/// Starts after the first one, which may have to make keys and tables.
const RESTARTS: usize = 5;

/// Carries out what the command line asks for. `progress` gets a line at a time.
pub(crate) async fn run(options: &Options, progress: impl Fn(&str)) -> Result<Report> {
    if let Some(federation) = &options.federation {
        return federation.run(options.scale.name, progress).await;
    }
    let target = Arc::new(Target::resolve(&options.url, options.any_address).await?);
    let mut report = Report {
        url: options.url.clone(),
        server: None,
        scale: options.scale.name,
        measurements: Vec::new(),
        client_cpu_seconds: 0.0,
    };
    let mut probe =
        Probe { pids: options.pid.into_iter().collect(), data_dir: options.data_dir.clone() };
    let mut server = None;
    let cold_start = options.measures.contains(&Measure::ColdStart);
    if let Some(command) = &options.spawn {
        if cold_start {
            progress("cold_start");
            report.measurements.push(cold_starts(command, &target).await?);
        }
        let (started, _) = Server::start(command, &target).await?;
        probe.pids = vec![started.pid()];
        server = Some(started);
    }
    report.server = greet(&target).await?;
    let mut world = World::new(&target, options, probe);
    for measure in options.measures.iter().filter(|it| **it != Measure::ColdStart) {
        progress(measure.name());
        let mut sheet = Sheet::new(measure.name());
        if let Err(error) = measure.run(&mut world, &mut sheet).await {
            sheet.error = Some(error.to_string());
        }
        report.measurements.push(sheet);
    }
    if let Some(server) = server {
        server.stop().await?;
    }
    if let Some(command) = options.spawn.as_deref().filter(|_| cold_start) {
        report.measurements.push(start_with_data(command, &target).await?);
    }
    report.client_cpu_seconds = client_cpu();
    Ok(report)
}

/// Starts and stops the server a few times, before there is any data to speak of.
async fn cold_starts(command: &str, target: &Arc<Target>) -> Result<Sheet> {
    let mut sheet = Sheet::new("cold_start");
    let (server, first) = Server::start(command, target).await?;
    server.stop().await?;
    let mut latencies = Latencies::default();
    for _ in 0..RESTARTS {
        let (server, latency) = Server::start(command, target).await?;
        latencies.push(latency);
        server.stop().await?;
    }
    sheet.figure("first", first.as_secs_f64() * 1e3, "ms");
    sheet.figure("p50", latencies.percentile_ms(50), "ms");
    Ok(sheet)
}

/// Starts the server once more, on what the run has left.
async fn start_with_data(command: &str, target: &Arc<Target>) -> Result<Sheet> {
    let mut sheet = Sheet::new("start_with_data");
    let (server, latency) = Server::start(command, target).await?;
    server.stop().await?;
    sheet.figure("once", latency.as_secs_f64() * 1e3, "ms");
    Ok(sheet)
}

/// Makes sure that a homeserver answers, and asks its name. Not all tell it.
async fn greet(target: &Arc<Target>) -> Result<Option<String>> {
    let mut connection = Connection::new(target);
    if !spawn::answers(&mut connection).await {
        let text = format!("no homeserver answers at {}", target.authority);
        return Err(Error::Usage(text));
    }
    let path = "/_matrix/federation/v1/version";
    let request = Request { method: "GET", path, token: None, body: None };
    if connection.ask(request).await? != 200 {
        return Ok(None);
    }
    let version: Value = connection.json().unwrap_or_default();
    let part =
        |pointer| version.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let name = part("/server/name") + " " + &part("/server/version");
    Ok(Some(name.trim().to_owned()).filter(|it| !it.is_empty()))
}
