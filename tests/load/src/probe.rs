//! CPU, memory and disk of the server and CPU of the generator, from `/proc` and the file system.
//!
//! The server is a process and its descendants, since `workerd` runs below `wrangler`.
//! Where `/proc` does not exist, the figures are left out.

use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt, path::Path, path::PathBuf};

/// Linux reports CPU time in hundredths of a second on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;
/// Unit of `st_blocks`, whatever the file system's block size.
const BLOCK_BYTES: u64 = 512;
const MAX_DEPTH: usize = 16;

/// What to look at.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    /// The first process of each server.
    pub(crate) pids: Vec<u32>,
    pub(crate) data_dir: Option<PathBuf>,
}

/// Resident memory of all processes of the server together, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    /// The sum of each process's own peak.
    pub(crate) peak: u64,
}

impl Probe {
    /// CPU seconds the server has used so far.
    pub(crate) fn server_cpu(&self) -> Option<f64> {
        let all = self.processes()?;
        Some(all.values().map(|it| it.cpu_seconds + it.children_cpu_seconds).sum())
    }

    /// The server's memory.
    pub(crate) fn memory(&self) -> Option<Memory> {
        let mut memory = Memory { resident: 0, peak: 0 };
        for pid in self.processes()?.keys() {
            let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
            memory.resident += status_bytes(&status, "VmRSS:");
            memory.peak += status_bytes(&status, "VmHWM:");
        }
        Some(memory)
    }

    /// Bytes that the server's data takes on disk.
    pub(crate) fn disk(&self) -> Option<u64> {
        self.data_dir.as_deref().map(|directory| disk_bytes(directory, MAX_DEPTH))
    }

    /// The servers' processes and their descendants.
    fn processes(&self) -> Option<BTreeMap<u32, Process>> {
        let mut rest: BTreeMap<u32, Process> = fs::read_dir("/proc")
            .ok()?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(|pid| Some((pid, process(&format!("/proc/{pid}/stat"))?)))
            .collect();
        let mut found = BTreeMap::new();
        for root in &self.pids {
            found.insert(*root, rest.remove(root)?);
        }
        if found.is_empty() {
            return None;
        }
        loop {
            let children: Vec<u32> = rest
                .iter()
                .filter(|(_, it)| found.contains_key(&it.parent))
                .map(|(pid, _)| *pid)
                .collect();
            if children.is_empty() {
                return Some(found);
            }
            found.extend(children.into_iter().filter_map(|pid| rest.remove_entry(&pid)));
        }
    }
}

/// The first process that this one has started, of those that still run.
pub(crate) fn first_child(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// CPU seconds this process has used so far.
pub(crate) fn client_cpu() -> f64 {
    process("/proc/self/stat").map_or(0.0, |it| it.cpu_seconds)
}

/// CPU seconds that all processes of this machine together have used so far.
pub(crate) fn machine_cpu() -> Option<f64> {
    parse_machine(&fs::read_to_string("/proc/stat").ok()?)
}

struct Process {
    parent: u32,
    cpu_seconds: f64,
    /// Of children that have ended and been waited for.
    children_cpu_seconds: f64,
}

fn process(path: &str) -> Option<Process> {
    parse_stat(&fs::read_to_string(path).ok()?)
}

fn parse_stat(stat: &str) -> Option<Process> {
    // The second field is the program's name in brackets, and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let seconds = |place: usize| {
        let ticks: u32 = fields.get(place)?.parse().ok()?;
        Some(f64::from(ticks) / TICKS_PER_SECOND)
    };
    Some(Process {
        parent: fields.get(1)?.parse().ok()?,
        cpu_seconds: seconds(11)? + seconds(12)?,
        children_cpu_seconds: seconds(13)? + seconds(14)?,
    })
}

fn parse_machine(stat: &str) -> Option<f64> {
    let fields: Vec<u64> =
        stat.lines().next()?.split_whitespace().skip(1).flat_map(str::parse).collect();
    // user nice system [idle iowait] irq softirq steal; guest time is within user time.
    let ticks: u64 = fields.get(..3)?.iter().chain(fields.get(5..8)?).sum();
    Some(ticks as f64 / TICKS_PER_SECOND)
}

fn status_bytes(status: &str, name: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().strip_suffix("kB")?.trim().parse().ok())
        .map_or(0, |kib: u64| kib * 1024)
}

fn disk_bytes(directory: &Path, depth: usize) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(it) if it.is_dir() && depth > 0 => disk_bytes(&entry.path(), depth - 1),
            Ok(it) => it.blocks() * BLOCK_BYTES,
            // Removed between listing and looking: a journal, most likely.
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::{parse_machine, parse_stat, status_bytes};

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "42 (a) b) S 7 42 42 0 -1 4194304 100 0 0 0 250 50 10 5 20 0 3 0 100 1 1";
        let process = parse_stat(stat).expect("a stat line");
        assert_eq!(process.parent, 7);
        assert!((process.cpu_seconds - 3.0).abs() < 1e-9);
        assert!((process.children_cpu_seconds - 0.15).abs() < 1e-9);
    }

    #[test]
    fn idle_time_of_the_machine_does_not_count() {
        let stat = "cpu  100 20 30 9999 8888 4 5 6 77 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        let seconds = parse_machine(stat).expect("a stat line");
        assert!((seconds - 1.65).abs() < 1e-9);
    }

    #[test]
    fn memory_is_read_in_kibibytes() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(status_bytes(status, "VmRSS:"), 1 << 20);
        assert_eq!(status_bytes(status, "VmSwap:"), 0);
    }
}
