//! What a function says: lines on standard output, as Lambda's logging controls ask for them.

use tracing_subscriber::filter::LevelFilter;

/// Begins to write `tracing`'s events: as JSON with `AWS_LAMBDA_LOG_FORMAT=JSON`, from the level in
/// `AWS_LAMBDA_LOG_LEVEL` on (docs.aws.amazon.com/lambda, "Configuring advanced logging controls"),
/// `INFO` unless it says otherwise. Lambda knows the time.
///
/// The same lines as from `lambda_runtime`'s `init_default_subscriber`, which also takes directives
/// for single modules: for that it brings an engine of regular expressions into every function.
///
/// # Panics
/// If it is called twice.
pub fn init() {
    let value_of = |variable| std::env::var(variable).ok().filter(|value| !value.is_empty());
    let level = value_of("AWS_LAMBDA_LOG_LEVEL")
        .and_then(|level| level.parse().ok())
        .unwrap_or(LevelFilter::INFO);
    let lines = tracing_subscriber::fmt().with_target(false).without_time().with_max_level(level);
    if value_of("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("json")) {
        lines.json().init();
    } else {
        lines.init();
    }
}
