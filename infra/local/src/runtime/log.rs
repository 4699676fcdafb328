//! The output of functions, line by line with the function's name, and messages of the local cloud.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};

use serde::Serialize;

use crate::runtime::sync::lock;

/// How many lines are kept.
const KEPT_MAX: usize = 20_000;

/// The source of lines that no function printed.
pub const CLOUD: &str = "cloud";

#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// The function's binary, or [`CLOUD`].
    pub function: String,
    /// The line, without its end.
    pub text: String,
}

/// Receives each line.
pub type Sink = Arc<dyn Fn(&Line) + Send + Sync>;

pub(crate) struct Log {
    sink: Option<Sink>,
    kept: Mutex<VecDeque<Line>>,
}

impl Log {
    pub(crate) fn new(sink: Option<Sink>) -> Self {
        Self { sink, kept: Mutex::default() }
    }

    pub(crate) fn line(&self, function: &str, text: &str) {
        let line = Line { function: function.to_owned(), text: text.to_owned() };
        if let Some(sink) = &self.sink {
            sink(&line);
        }
        let mut kept = lock(&self.kept);
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(line);
    }

    pub(crate) fn note(&self, text: &str) {
        self.line(CLOUD, text);
    }

    pub(crate) fn kept(&self) -> Vec<Line> {
        lock(&self.kept).iter().cloned().collect()
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Log").finish_non_exhaustive()
    }
}
