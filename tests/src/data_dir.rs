//! Where a server under test keeps its data.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

/// A directory of its own, in memory where the system offers that: what is tested is the server,
/// not the disk. It is removed on drop, and directories of test processes that are gone are removed
/// by the next one.
#[derive(Debug)]
pub(crate) struct DataDir(PathBuf);

impl DataDir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        if number == 0 {
            remove_abandoned();
        }
        let path = data_root().join(format!("{PREFIX}{}-{number}", std::process::id()));
        let mut directory = fs::DirBuilder::new();
        directory.recursive(true).mode(0o700).create(&path).expect("a data directory");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

const PREFIX: &str = "skerry-test-";

fn data_root() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

/// Statics are not dropped when a process ends, so the shared servers leave their data behind.
fn remove_abandoned() {
    let processes = Path::new("/proc");
    let Ok(entries) = fs::read_dir(data_root()) else { return };
    if !processes.is_dir() {
        return;
    }
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(owner) = name.strip_prefix(PREFIX).and_then(|it| it.split(['-', '.']).next())
        else {
            continue;
        };
        if !processes.join(owner).exists() {
            remove(&entry.path());
        }
    }
}

fn remove(path: &Path) {
    for path in [path.to_owned(), path.with_extension("log")] {
        let result = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        if let Err(error) = result
            && error.kind() != std::io::ErrorKind::NotFound
        {
            eprintln!("{} stays behind: {error}", path.display());
        }
    }
}
