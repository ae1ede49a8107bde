//! The command line.

use std::path::PathBuf;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
skerry-edge-cost: counts what each operation of the Worker costs on Cloudflare's bill

  --build DIR         the built Worker (default worker/build: scripts/build-worker release)
  --size small|full   rooms of up to 30 members, or of up to 1,000 (default full)
  --only NAME,...     only the groups of operations of these names: send, delivery, poll, sync,
                      membership, receipts, keys, federation
  --explain           count the commands to objects by name as well, which costs CPU
  --json FILE         also write the counts as JSON
  --from FILE         measure nothing: take the counts from that JSON
  --before FILE       compare with the counts in that JSON, of an earlier version
  --markdown FILE     renew the tables in that page (docs/cost.md)
  --help              print this

The Worker runs in workerd, through scripts/worker-host.mjs: Node has to be set up.
";

/// A parsed command line.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) build: PathBuf,
    pub(crate) size: Size,
    /// Names of groups; empty: all.
    pub(crate) only: Vec<String>,
    pub(crate) explains: bool,
    pub(crate) json: Option<PathBuf>,
    pub(crate) from: Option<PathBuf>,
    pub(crate) before: Option<PathBuf>,
    pub(crate) markdown: Option<PathBuf>,
}

/// How large the rooms are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Members of the three rooms that messages go into, and how many of them are active.
    pub(crate) rooms: [(usize, usize); 3],
    /// Rooms of the users whose initial sync is measured.
    pub(crate) synced: [usize; 2],
    /// Whether the goals are stated for this size.
    pub(crate) is_full: bool,
}

impl Size {
    const FULL: Self =
        Self { rooms: [(2, 2), (50, 10), (1_000, 50)], synced: [100, 1_000], is_full: true };
    /// Shows that everything works.
    const SMALL: Self = Self { rooms: [(2, 2), (10, 3), (30, 5)], synced: [5, 10], is_full: false };
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Invocation {
    Run(Box<Options>),
    Help,
}

/// Reads the arguments, without the program's own name.
pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Invocation, String> {
    let mut options = Options {
        build: "worker/build".into(),
        size: Size::FULL,
        only: Vec::new(),
        explains: false,
        json: None,
        from: None,
        before: None,
        markdown: None,
    };
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{name} needs a value"));
        match name.as_str() {
            "--build" => options.build = value()?.into(),
            "--size" => options.size = size(&value()?)?,
            "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
            "--explain" => options.explains = true,
            "--json" => options.json = Some(value()?.into()),
            "--from" => options.from = Some(value()?.into()),
            "--before" => options.before = Some(value()?.into()),
            "--markdown" => options.markdown = Some(value()?.into()),
            "--help" | "-h" => return Ok(Invocation::Help),
            _ => return Err(format!("unknown option {name} (try --help)")),
        }
    }
    Ok(Invocation::Run(Box::new(options)))
}

fn size(name: &str) -> Result<Size, String> {
    match name {
        "small" => Ok(Size::SMALL),
        "full" => Ok(Size::FULL),
        _ => Err(format!("--size is small or full, not {name}")),
    }
}
