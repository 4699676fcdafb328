//! `cargo local demo`: two customers' stories, played by the real functions on a fresh state each.
//! It succeeds only if every figure and every mail equals the one worked out by hand.

mod ada;
mod expected;
mod grace;
mod mails;
mod outcome;
mod player;
mod screen;

use crate::control::cloud::{Cloud, CloudConfig, CloudStartError, WhichStripe};
use crate::runtime::clock::Pace;
pub use outcome::{Outcome, StoryOutcome};
use player::StoryPlayer;
pub use screen::Form;
use screen::Screen;
use time::macros::utc_datetime;

/// A cloud as a story needs it: nothing kept, and a clock that only the story moves.
#[must_use]
pub fn config(config: CloudConfig) -> CloudConfig {
    CloudConfig {
        state: None,
        port: 0,
        stripe_port: 0,
        pace: Pace::Frozen,
        start: Some(utc_datetime!(2026-11-02 09:12)),
        stripe: WhichStripe::StandIn,
        log: None,
        ..config
    }
}

/// Plays the stories, and returns their outcomes.
///
/// # Errors
///
/// If one cannot be completed, as text. A wrong figure is not an error. It is shown, and listed
/// among the mistakes.
pub async fn run(config: CloudConfig, form: Form) -> Result<Outcome, String> {
    let screen = Screen::new(form);
    let cloud = begin(config.clone()).await?;
    let mut player = StoryPlayer::begin(&cloud, &screen, &ada::EXPECTED).await?;
    ada::play(&mut player).await?;
    let ada = player.end().await?;
    drop(cloud);

    let cloud = begin(config).await?;
    let mut player = StoryPlayer::begin(&cloud, &screen, &grace::EXPECTED).await?;
    grace::play(&mut player).await?;
    let grace = player.end().await?;

    let outcome = Outcome { stories: vec![ada, grace] };
    screen.end(&outcome);
    Ok(outcome)
}

async fn begin(config: CloudConfig) -> Result<Cloud, String> {
    Cloud::start(config).await.map_err(|error: CloudStartError| error.to_string())
}
