//! Recordings of earlier behavior: answers of the API, and calls of functions to AWS and Stripe.
//! The tests compare with them, so a commit that moves code shows that nothing else changed.
//!
//! After an intended change, record again and read the diff:
//!
//! ```sh
//! TOLLGATE_RECORD=1 cargo test -p tollgate-tests --test world
//! ```

use std::path::PathBuf;

use tollgate_local::calls::RecordedCall;

/// The variable that makes a test write what it would compare.
const RECORD: &str = "TOLLGATE_RECORD";

/// How many lines around a difference are shown.
const AROUND: usize = 3;

/// Compares a text with what was recorded under this name, or records it.
#[track_caller]
pub(crate) fn compare(name: &str, now: &str) {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "world", "recorded", name].iter().collect();
    if std::env::var_os(RECORD).is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, now).unwrap();
        return;
    }
    let before = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{name}: {error}; {RECORD}=1 writes it"));
    if before == now {
        return;
    }
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (before, now) = (lines(&before), lines(now));
    let first = before.iter().zip(&now).take_while(|(before, now)| before == now).count();
    let shown = |lines: &[String]| {
        let from = first.saturating_sub(AROUND);
        lines.iter().skip(from).take(2 * AROUND + 1).cloned().collect::<Vec<_>>().join("\n")
    };
    panic!(
        "{name}, line {}: recorded\n{}\n\nand now\n{}\n\n({RECORD}=1 writes it anew)",
        first + 1,
        shown(&before),
        shown(&now)
    );
}

/// Compares calls with those recorded under this name: service, operation and tables, in order.
#[track_caller]
pub(crate) fn compare_calls(name: &str, calls: &[RecordedCall]) {
    compare(&format!("calls/{name}.txt"), &described(calls.iter().map(line)));
}

/// The same for calls of workers that run in any order: sorted.
#[track_caller]
pub(crate) fn compare_calls_in_any_order(name: &str, calls: &[RecordedCall]) {
    let mut lines: Vec<String> = calls.iter().map(line).collect();
    lines.sort();
    compare(&format!("calls/{name}.txt"), &described(lines));
}

/// One call on a line; the same again and again on one.
fn described(lines: impl IntoIterator<Item = String>) -> String {
    let mut counted: Vec<(usize, String)> = Vec::new();
    for line in lines {
        match counted.last_mut() {
            Some((count, last)) if *last == line => *count += 1,
            Some(_) | None => counted.push((1, line)),
        }
    }
    let shown = |(count, line): (usize, String)| match count {
        1 => format!("{line}\n"),
        _ => format!("{line} ({count} times)\n"),
    };
    counted.into_iter().map(shown).collect()
}

fn line(call: &RecordedCall) -> String {
    let mut words = vec![call.service.clone(), without_ids(&call.operation)];
    words.extend(call.tables.iter().cloned());
    if let Some(outcome) = call.outcome.as_ref().filter(|outcome| *outcome != "200") {
        words.push(format!("-> {outcome}"));
    }
    words.join(" ")
}

/// A path of Stripe's without the ids in it: `POST /v1/invoices/{id}/pay`.
fn without_ids(operation: &str) -> String {
    let Some((method, path)) = operation.split_once(" /v1/") else {
        return operation.to_owned();
    };
    let is_id = |part: &str| {
        part.contains('_') && part.chars().any(|c| c.is_ascii_digit() || c.is_ascii_uppercase())
    };
    let parts: Vec<&str> =
        path.split('/').map(|part| if is_id(part) { "{id}" } else { part }).collect();
    format!("{method} /v1/{}", parts.join("/"))
}
