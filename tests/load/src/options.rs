//! The command line.

use std::{path::PathBuf, time::Duration};

use crate::{
    error::{Error, Result},
    federation::{Federation, Part},
    measure::Measure,
    scale::Scale,
    soak::{Kind, Soak},
};

/// What `--help` prints.
pub(crate) const HELP: &str = "\
skerry-load: measures a Matrix homeserver over the client-server API

  --url URL                 base URL, plain HTTP (default http://localhost:8008)
  --scale small|edge|full   how much to do (default full)
  --only NAME,...           only these measurements (--list names them)
  --json FILE               also write the figures as JSON
  --pid PID                 the server's process: CPU and memory of it and its children
  --data-dir DIR            the server's data: disk use
  --spawn COMMAND           start the server with this shell command (nothing may listen on
                            the URL yet), measure cold starts, stop it at the end
  --registration-token T    for servers that register with a token
  --federation PROGRAM      nothing but two servers of this program, which are started here and
                            talk to each other and to scripted ones (README.md)
  --keys                    nothing but what encrypted rooms ask of a server (README.md)
  --soak MINUTES            nothing but mixed load with hostile clients beside it (README.md)
  --hostile KIND,...        of the soak: these kinds of hostile clients alone, or \"none\"
  --quiet SECONDS           of the soak: before memory is looked at again (default 400)
  --i-own-this-server       allow an address that is not loopback
  --list                    print the names of the measurements
  --help                    print this
";

/// A parsed command line.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) url: String,
    pub(crate) scale: Scale,
    /// In the order they run, whatever the order on the command line.
    pub(crate) measures: Vec<Measure>,
    pub(crate) json: Option<PathBuf>,
    pub(crate) pid: Option<u32>,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) spawn: Option<String>,
    pub(crate) registration_token: Option<String>,
    pub(crate) any_address: bool,
    /// Where the only measurement is the soak.
    pub(crate) soak: Option<Soak>,
    /// Where servers that talk to each other are measured, and nothing else.
    pub(crate) federation: Option<Federation>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            url: "http://localhost:8008".to_owned(),
            scale: Scale::full(),
            measures: Measure::ALL.to_vec(),
            json: None,
            pid: None,
            data_dir: None,
            spawn: None,
            registration_token: None,
            any_address: false,
            soak: None,
            federation: None,
        }
    }
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Invocation {
    Run(Box<Options>),
    Help,
    List,
}

/// Options that say something of a server that there is.
const OF_ONE_SERVER: [&str; 10] = [
    "--keys",
    "--url",
    "--pid",
    "--data-dir",
    "--spawn",
    "--registration-token",
    "--soak",
    "--hostile",
    "--quiet",
    "--i-own-this-server",
];

/// Reads the arguments, without the program's own name.
pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Invocation> {
    let mut options = Options::default();
    let mut soak = Soak::default();
    let (mut minutes, mut of_soak) = (None, false);
    let (mut only, mut program, mut of_one_server) = (None, None, false);
    let mut keys = false;
    while let Some(name) = arguments.next() {
        let mut value =
            || arguments.next().ok_or_else(|| Error::Usage(format!("{name} needs a value")));
        of_one_server |= OF_ONE_SERVER.contains(&name.as_str());
        match name.as_str() {
            "--url" => options.url = value()?,
            "--scale" => options.scale = scale(&value()?)?,
            "--only" => only = Some(value()?),
            "--federation" => program = Some(value()?),
            "--json" => options.json = Some(value()?.into()),
            "--pid" => options.pid = Some(number(&name, &value()?)?),
            "--data-dir" => options.data_dir = Some(value()?.into()),
            "--spawn" => options.spawn = Some(value()?),
            "--registration-token" => options.registration_token = Some(value()?),
            "--keys" => keys = true,
            "--soak" => minutes = Some(number(&name, &value()?)?),
            "--hostile" => {
                soak.kinds = kinds(&value()?)?;
                of_soak = true;
            }
            "--quiet" => {
                soak.quiet = Duration::from_secs(number(&name, &value()?)?.into());
                of_soak = true;
            }
            "--i-own-this-server" => options.any_address = true,
            "--list" => return Ok(Invocation::List),
            "--help" | "-h" => return Ok(Invocation::Help),
            _ => return Err(Error::Usage(format!("unknown option {name} (try --help)"))),
        }
    }
    if options.spawn.is_some() && options.pid.is_some() {
        return Err(Error::Usage("--spawn knows the process: leave out --pid".to_owned()));
    }
    if let Some(program) = program {
        if of_one_server {
            let text =
                "--federation starts servers of its own: it goes with --scale, --only, --json";
            return Err(Error::Usage(text.to_owned()));
        }
        let parts = only.as_deref().map_or(Ok(Part::ALL.to_vec()), parts)?;
        options.federation = Some(Federation { program: program.into(), parts });
        return Ok(Invocation::Run(Box::new(options)));
    }
    if let Some(only) = &only {
        options.measures = measures(only)?;
    }
    match minutes {
        Some(_) if only.is_some() || keys => {
            return Err(Error::Usage("--soak runs nothing else: leave out the rest".to_owned()));
        }
        None if keys && only.is_some() => {
            return Err(Error::Usage("--keys runs nothing else: leave out --only".to_owned()));
        }
        None if of_soak => {
            return Err(Error::Usage("--hostile and --quiet are for --soak".to_owned()));
        }
        Some(minutes) => {
            soak.load = Duration::from_mins(u64::from(minutes));
            options.measures = vec![Measure::Soak];
            options.soak = Some(soak);
        }
        None if keys => options.measures = vec![Measure::Keys],
        None => {}
    }
    Ok(Invocation::Run(Box::new(options)))
}

fn scale(name: &str) -> Result<Scale> {
    match name {
        "small" => Ok(Scale::small()),
        "edge" => Ok(Scale::edge()),
        "full" => Ok(Scale::full()),
        _ => Err(Error::Usage(format!("--scale is small, edge or full, not {name}"))),
    }
}

fn number(name: &str, text: &str) -> Result<u32> {
    text.parse().map_err(|_| Error::Usage(format!("{name} is followed by a number, not {text}")))
}

fn kinds(list: &str) -> Result<Vec<Kind>> {
    list.split(',').map(str::trim).filter(|it| *it != "none").map(Kind::named).collect()
}

fn parts(list: &str) -> Result<Vec<Part>> {
    list.split(',').map(str::trim).map(Part::named).collect()
}

fn measures(list: &str) -> Result<Vec<Measure>> {
    let names: Vec<&str> = list.split(',').map(str::trim).collect();
    if let Some(unknown) = names.iter().find(|it| !Measure::ALL.iter().any(|m| m.name() == **it)) {
        return Err(Error::Usage(format!("no measurement is called {unknown:?} (try --list)")));
    }
    Ok(Measure::ALL.iter().copied().filter(|it| names.contains(&it.name())).collect())
}

#[cfg(test)]
mod tests {
    use super::{Invocation, Options, parse};
    use crate::{error::Error, federation::Part, measure::Measure};

    fn read(line: &str) -> Result<Options, Error> {
        match parse(line.split_whitespace().map(str::to_owned))? {
            Invocation::Run(options) => Ok(*options),
            Invocation::Help | Invocation::List => panic!("not a run: {line}"),
        }
    }

    #[test]
    fn chosen_measurements_keep_their_order() {
        let options = read("--only members,register --scale small").expect("a valid line");
        assert_eq!(options.measures, [Measure::Register, Measure::Members]);
        assert_eq!(options.scale.name, "small");
    }

    #[test]
    fn a_soak_is_the_only_measurement() {
        let options = read("--soak 30 --hostile pages,logins").expect("a valid line");
        assert_eq!(options.measures, [Measure::Soak]);
        let soak = options.soak.expect("a soak");
        assert_eq!(soak.kinds.len(), 2);
        let soak = read("--soak 1 --hostile none").expect("a valid line").soak.expect("a soak");
        assert!(soak.kinds.is_empty());
        assert_eq!(read("--keys --pid 1").expect("a valid line").measures, [Measure::Keys]);
    }

    #[test]
    fn a_federation_has_measurements_of_its_own() {
        let options = read("--federation skerry --only lag,inbound").expect("a valid line");
        assert_eq!(options.federation.expect("a federation").parts, [Part::Lag, Part::Inbound]);
        let options = read("--only lag --federation skerry").expect("in any order");
        assert_eq!(options.federation.expect("a federation").parts, [Part::Lag]);
    }

    #[test]
    fn mistakes_are_refused() {
        for line in [
            "--only nonsense",
            "--only",
            "--scale huge",
            "--pid x",
            "--verbose",
            "--soak long",
            "--soak 1 --hostile kittens",
            "--soak 1 --only members",
            "--soak 1 --keys",
            "--keys --only members",
            "--federation skerry --keys",
            "--hostile pages",
            "--pid 1 --spawn x",
            "--only lag",
            "--federation skerry --only members",
            "--federation skerry --url http://localhost:1",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
