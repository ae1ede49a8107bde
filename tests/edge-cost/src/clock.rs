//! The CPU that workerd has used: user and system time of the whole process, in which the Worker,
//! its objects and the local stand-in for D1 run. What Cloudflare bills is a part of it.

use std::{fs, time::Duration};

use nix::{sys::time::TimeValLike as _, time::ClockId, unistd::Pid};

/// The program's name.
const WORKERD: &str = "workerd";

/// The CPU clock of one process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuClock(ClockId);

impl CpuClock {
    /// The clock of the workerd below that process, if the system tells of it.
    pub(crate) fn of_workerd_below(root: u32) -> Option<Self> {
        let processes = fs::read_dir("/proc").ok()?;
        let pids = processes.filter_map(|it| it.ok()?.file_name().to_str()?.parse::<i32>().ok());
        let mut found = pids.filter(|pid| is_workerd(*pid) && is_below(*pid, root));
        ClockId::pid_cpu_clock_id(Pid::from_raw(found.next()?)).ok().map(Self)
    }

    /// The time it shows.
    pub(crate) fn now(self) -> Duration {
        let time = self.0.now().map_or(0, |it| it.num_nanoseconds());
        Duration::from_nanos(time.unsigned_abs())
    }
}

fn is_workerd(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|it| it.trim_end() == WORKERD)
}

fn is_below(pid: i32, root: u32) -> bool {
    let mut at = Some(pid);
    while let Some(pid) = at.filter(|it| *it > 1) {
        if u32::try_from(pid) == Ok(root) {
            return true;
        }
        at = parent(pid);
    }
    false
}

fn parent(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|it| it.strip_prefix("PPid:"))?.trim().parse().ok()
}
