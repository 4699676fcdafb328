//! `cargo stripe-setup`: see [`stripe_setup`].

use std::io::Write as _;
use std::process::ExitCode;

use stripe_setup::{SetupArguments, USAGE, set_up};
use tollgate::stripe::{Stripe, StripeSettings};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(text) => {
            let _gone = writeln!(std::io::stdout(), "{}", text.trim_end());
            ExitCode::SUCCESS
        }
        Err(reason) => {
            let _gone = writeln!(std::io::stderr(), "{reason}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<String, String> {
    let arguments = SetupArguments::read(std::env::args().skip(1))
        .map_err(|reason| format!("{reason}\n\n{USAGE}"))?;
    let Some(arguments) = arguments else { return Ok(USAGE.to_owned()) };
    let settings = StripeSettings::read(|variable| std::env::var(variable).ok())
        .map_err(|error| error.to_string())?;
    let stripe = Stripe::new(settings).map_err(|error| error.to_string())?;
    set_up(&stripe, &arguments).await
}
