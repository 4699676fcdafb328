//! Log lines on standard output, in the format that Lambda's logging controls select.

use tracing_subscriber::filter::LevelFilter;

/// Starts writing `tracing` events. The format is JSON with `AWS_LAMBDA_LOG_FORMAT=JSON`. The level
/// comes from `AWS_LAMBDA_LOG_LEVEL` and defaults to `INFO` (docs.aws.amazon.com/lambda,
/// "Configuring advanced logging controls"). `TRACE` writes what `DEBUG` does: the rest is not in
/// the binary. Lambda adds the time.
///
/// The lines equal those of `lambda_runtime`'s `init_default_subscriber`. That one also takes
/// directives for single modules, and so adds a regular expression engine to every function.
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
