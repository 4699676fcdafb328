//! The options of `cargo local`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::control::build::repository;
use crate::control::cloud::{CloudConfig, WhichStripe};
use crate::control::demo::Form;
use crate::runtime::clock::Pace;
use crate::template::Template;

/// The output of `cargo local --help`.
pub const USAGE: &str = "\
Runs the whole cloud on this machine.

    cargo local [OPTIONS]      run until Ctrl-C
    cargo local demo [--json]  play two customers' stories, check every figure and exit

    --port N               the API's port (default 8080, 0 for any). Stripe's pages use the next port
    --fresh                delete the state of earlier runs
    --state DIRECTORY      where to keep the state (default .tollgate)
    --frozen-clock         stop the clock, so that it moves only on request
    --every-minute         run schedules also while nothing is due in their index
    --parameter NAME=VALUE set a template parameter (can be repeated)
    --template FILE        use this template instead of infra/template.yaml
    --help                 print this text

With STRIPE_SECRET_KEY=sk_test_… in the environment, functions use Stripe itself instead of the stand-in.";

const PORT: u16 = 8080;

/// Variables that are passed on to functions when Stripe itself is used.
const STRIPE_VARIABLES: [&str; 3] =
    ["STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRETS", "STRIPE_API_BASE"];

/// Files of the state: `--fresh` removes these and nothing else.
const STATE_FILES: [&str; 7] = [
    "clock",
    "cloud.json",
    "dynamodb.sqlite",
    "dynamodb.sqlite-shm",
    "dynamodb.sqlite-wal",
    "issuer.pk8",
    "lock",
];

#[derive(Debug)]
pub struct LocalArguments {
    port: u16,
    state: PathBuf,
    template: Option<PathBuf>,
    fresh: Fresh,
    pace: Pace,
    every_minute: bool,
    parameters: BTreeMap<String, String>,
    demonstration: Option<Form>,
}

#[derive(Debug, Eq, PartialEq)]
enum Fresh {
    Yes,
    No,
}

impl LocalArguments {
    /// Reads the options; None asks for help.
    ///
    /// # Errors
    ///
    /// A sentence that names the option that cannot be used.
    pub fn read(mut words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut arguments = Self {
            port: PORT,
            state: repository().join(".tollgate"),
            template: None,
            fresh: Fresh::No,
            pace: Pace::Running,
            every_minute: false,
            parameters: BTreeMap::new(),
            demonstration: None,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} requires a value"));
            match word.as_str() {
                "--port" => {
                    let port = value()?;
                    arguments.port =
                        port.parse().map_err(|_| format!("{port} is not a port number"))?;
                }
                "--state" => arguments.state = PathBuf::from(value()?),
                "--template" => arguments.template = Some(PathBuf::from(value()?)),
                "--fresh" => arguments.fresh = Fresh::Yes,
                "--frozen-clock" => arguments.pace = Pace::Frozen,
                "--every-minute" => arguments.every_minute = true,
                "--parameter" => {
                    let pair = value()?;
                    let (name, value) =
                        pair.split_once('=').ok_or_else(|| format!("{pair} is not NAME=VALUE"))?;
                    arguments.parameters.insert(name.to_owned(), value.to_owned());
                }
                "demo" => arguments.demonstration = Some(Form::Text),
                "--json" if arguments.demonstration.is_some() => {
                    arguments.demonstration = Some(Form::Json);
                }
                "--help" | "-h" => return Ok(None),
                unknown => return Err(format!("unknown argument {unknown}")),
            }
        }
        Ok(Some(arguments))
    }

    /// Whether only the demonstration is wanted, and in which form.
    pub fn demonstration(&self) -> Option<Form> {
        self.demonstration
    }

    /// Whether the template is another than this repository's.
    pub fn has_own_template(&self) -> bool {
        self.template.is_some()
    }

    /// The configuration of the cloud.
    ///
    /// # Errors
    ///
    /// If the state of earlier runs cannot be removed, or the template cannot be read.
    pub fn config(self) -> Result<CloudConfig, String> {
        if self.fresh == Fresh::Yes {
            remove(&self.state)?;
        }
        let mut config =
            CloudConfig::of_this_repository(BTreeMap::new()).map_err(|error| error.to_string())?;
        if let Some(file) = &self.template {
            config.template = Template::read(file).map_err(|error| error.to_string())?;
        }
        config.parameters.extend(self.parameters);
        config.port = self.port;
        config.stripe_port = if self.port == 0 { 0 } else { self.port.saturating_add(1) };
        config.pace = self.pace;
        config.every_minute = self.every_minute;
        config.state = Some(self.state);
        let key = std::env::var("STRIPE_SECRET_KEY").unwrap_or_default();
        if key.starts_with("sk_test_") && key != "sk_test_local" {
            config.stripe = WhichStripe::Real;
            // Payments in the ledger must exist at Stripe: the two worlds are never mixed.
            config.state = config.state.map(|state| state.join("real-stripe"));
            for variable in STRIPE_VARIABLES {
                if let Ok(value) = std::env::var(variable) {
                    config.environment.insert(variable.to_owned(), value);
                }
            }
        } else if key.starts_with("sk_live_") || key.starts_with("rk_live_") {
            return Err("STRIPE_SECRET_KEY is a live key. The local cloud never moves real money"
                .to_owned());
        }
        Ok(config)
    }
}

fn remove(state: &Path) -> Result<(), String> {
    for name in STATE_FILES {
        let file = state.join(name);
        match std::fs::remove_file(&file) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("{} cannot be removed: {error}", file.display())),
        }
    }
    Ok(())
}
