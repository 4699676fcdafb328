//! The stories of `cargo local demo`. They are the first thing that newcomers run, so they must work.

use tollgate_local::demo;

use crate::support::{Processes, START, config};

#[tokio::test]
async fn the_demonstration_ends_with_every_figure_right() {
    let config = demo::config(config(Processes::Several, START));
    let outcome = demo::run(config, demo::Form::Silent).await.unwrap();
    let mistakes: Vec<&String> = outcome.stories.iter().flat_map(|one| &one.mistakes).collect();
    assert_eq!(mistakes, [] as [&String; 0]);
    let stories = outcome.stories.iter();
    let seen: Vec<_> = stories
        .map(|one| (one.account, one.rows.len(), one.mails.len(), one.totals["paid"].as_str()))
        .collect();
    assert_eq!(seen, [("ada", 37, 9, Some("75.00")), ("grace", 40, 9, Some("50.00"))]);
}
