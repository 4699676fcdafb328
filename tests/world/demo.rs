//! The story of `cargo local demo`. It is the first thing that newcomers run, so it must work.

use tollgate_local::demo;

use crate::support::{Processes, START, config};

#[tokio::test]
async fn the_demonstration_ends_with_every_figure_right() {
    let config = demo::config(config(Processes::Several, START));
    let outcome = demo::run(config, demo::Form::Silent).await.unwrap();
    assert_eq!(outcome.mistakes, [] as [String; 0]);
    assert_eq!((outcome.rows.len(), outcome.totals["paid"].as_str()), (37, Some("75.00")));
}
