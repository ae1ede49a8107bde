//! A room of many servers, some of which die: whether those that live notice.

use std::{
    net::Ipv4Addr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use skerry_tests::remote::Remote;
use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    Sizes,
    lag::{Heard, talk},
    node::Node,
    rooms,
};
use crate::{
    error::{Error, Result},
    report::Sheet,
    window::Window,
};

/// Messages before those that are measured, and the time between any two.
const WARM_UP: usize = 5;
const INTERVAL: Duration = Duration::from_millis(250);
/// For a server that ends to give its port back.
const PORT_TRIES: usize = 200;
const PORT_POLL: Duration = Duration::from_millis(10);
/// For every server to be sent something.
const REACH_TRIES: usize = 600;
const REACH_POLL: Duration = Duration::from_millis(100);
const SEND: &str = "/_matrix/federation/v1/send/";
const MIB: f64 = 1_048_576.0;

/// When connections to the dead were opened.
type Tries = Arc<Mutex<Vec<Instant>>>;

/// Messages of one Skerry to another one and to scripted servers, before and after some die.
pub(super) async fn outages(program: &Path, sizes: Sizes, sheet: &mut Sheet) -> Result<()> {
    let (mut scripts, mut sender, receiver, room) = meet(program, sizes.destinations).await?;
    talk(&mut sender, &receiver, &room, WARM_UP, INTERVAL).await?;
    // From here on no server is met for the first time.
    all_reached(&scripts).await?;
    let count = sizes.outage_messages;
    let mut alive = talk(&mut sender, &receiver, &room, count, INTERVAL).await?;
    let probe = Node::probe(&[&sender]);
    let before = probe.memory();

    // The first one is where the room was made.
    let dying = scripts.split_off(scripts.len().saturating_sub(sizes.dead));
    let tries = Tries::default();
    let mut dead = JoinSet::new();
    for script in dying {
        let port = port(&script)?;
        drop(script);
        dead.spawn(turn_away(listen(port).await?, Arc::clone(&tries)));
    }
    let window = Window::over(&probe, &sender.target);
    let died = Instant::now();
    let mut beside = talk(&mut sender, &receiver, &room, count, INTERVAL).await?;
    let lasted = died.elapsed();
    let usage = window.close_over(&probe, &sender.target);

    figures(sheet, &mut alive, &mut beside);
    let tries = tries.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let slice = sizes.outage_slice;
    let tried = |from: Duration| {
        let within = |it: &&Instant| (from..from + slice).contains(&(**it - died));
        tries.iter().filter(within).count() as f64
    };
    sheet.figure("destinations", sizes.destinations as f64, "");
    sheet.figure("dead", sizes.dead as f64, "");
    sheet.figure("tried", tries.len() as f64, "connections");
    sheet.figure("tried_at_first", tried(Duration::ZERO), "connections");
    sheet.figure("tried_then", tried(slice), "connections");
    sheet.figure("tried_at_last", tried(lasted.saturating_sub(slice)), "connections");
    if let (Some(before), Some(after)) = (before, probe.memory()) {
        sheet.figure("resident_before", before.resident as f64 / MIB, "MiB");
        sheet.figure("resident", after.resident as f64 / MIB, "MiB");
    }
    sheet.usage(usage);
    Ok(())
}

fn figures(sheet: &mut Sheet, alive: &mut Heard, beside: &mut Heard) {
    sheet.figure("p50_before", alive.lags.percentile_ms(50), "ms");
    sheet.figure("p99_before", alive.lags.percentile_ms(99), "ms");
    sheet.percentiles(&mut beside.lags);
    sheet.figure("worst", beside.lags.percentile_ms(100), "ms");
    sheet.figure("send_p50", beside.sends.percentile_ms(50), "ms");
    sheet.figure("missed", (alive.missed + beside.missed) as f64, "messages");
}

/// A room with a member of each of so many scripted servers, in which are the users of two Skerrys.
async fn meet(program: &Path, servers: usize) -> Result<(Vec<Remote>, Node, Node, String)> {
    let scripts: Vec<Remote> = std::iter::repeat_with(Remote::start).take(servers).collect();
    scripts.iter().for_each(Remote::accept_transactions);
    let host = scripts.first().ok_or_else(|| Error::Wrong("no scripted server".to_owned()))?;
    let peers: Vec<_> = scripts.iter().map(|it| &it.peer).collect();
    let room = rooms::open_crowded(host, &peers, servers).id;
    let (mut first, mut second) = (Node::start(program).await?, Node::start(program).await?);
    first.join(&room, &host.peer.name).await?;
    second.join(&room, &first.name()).await?;
    Ok((scripts, first, second, room))
}

/// Waits until every server was sent messages: nobody suffers from the death of one that the sender
/// does not know.
async fn all_reached(scripts: &[Remote]) -> Result<()> {
    let mut missing = scripts.len();
    for _ in 0..REACH_TRIES {
        missing = scripts.iter().filter(|it| !is_reached(it)).count();
        if missing == 0 {
            return Ok(());
        }
        sleep(REACH_POLL).await;
    }
    Err(Error::Wrong(format!("{missing} servers were sent no message")))
}

fn is_reached(script: &Remote) -> bool {
    script.asked(SEND).iter().any(|it| it.text().contains("sent_us"))
}

fn port(script: &Remote) -> Result<u16> {
    let port = script.peer.name.rsplit_once(':').and_then(|it| it.1.parse().ok());
    port.ok_or_else(|| Error::Wrong(format!("{} has no port", script.peer.name)))
}

/// Listens where a server has listened that is about to end.
async fn listen(port: u16) -> Result<TcpListener> {
    for _ in 0..PORT_TRIES {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Ok(listener) => return Ok(listener),
            Err(_) => sleep(PORT_POLL).await,
        }
    }
    Err(Error::Wrong(format!("port {port} stays in use")))
}

/// Ends every connection at once, and notes when it came: a port that is closed could not count.
async fn turn_away(listener: TcpListener, tries: Tries) {
    loop {
        if listener.accept().await.is_ok() {
            tries.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        }
    }
}
