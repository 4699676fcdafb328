//! Gates: a call stops until its test lets it go on.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// How long a test waits for the call that its gate is for.
const REACHED_SECONDS: u64 = 10;

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Stage {
    Waiting,
    Reached,
    Open,
}

/// The test's side. It opens on the test's request or when dropped.
#[derive(Debug)]
#[must_use = "a gate that is dropped is open"]
pub struct Gate {
    stage: Arc<watch::Sender<Stage>>,
}

/// The call's side.
#[derive(Clone, Debug)]
pub(super) struct Barrier {
    stage: Arc<watch::Sender<Stage>>,
}

pub(super) fn gate() -> (Gate, Barrier) {
    let stage = Arc::new(watch::Sender::new(Stage::Waiting));
    (Gate { stage: Arc::clone(&stage) }, Barrier { stage })
}

impl Gate {
    /// Waits until the call arrives at the gate.
    ///
    /// # Panics
    ///
    /// If it does not arrive within ten seconds.
    pub async fn reached(&self) {
        let mut stage = self.stage.subscribe();
        let reached = stage.wait_for(|stage| *stage >= Stage::Reached);
        let reached = tokio::time::timeout(Duration::from_secs(REACHED_SECONDS), reached).await;
        assert!(reached.is_ok(), "no call came to the gate in {REACHED_SECONDS} seconds");
    }

    /// Lets the call go on.
    pub fn open(self) {
        drop(self);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.stage.send_replace(Stage::Open);
    }
}

impl Barrier {
    /// Stops here until the gate opens; only the first call stops.
    pub(super) async fn pass(&self) {
        let first = self.stage.send_if_modified(|stage| {
            let first = *stage == Stage::Waiting;
            if first {
                *stage = Stage::Reached;
            }
            first
        });
        if first {
            let mut stage = self.stage.subscribe();
            // Not an error: the sender lives as long as this barrier.
            let _open = stage.wait_for(|stage| *stage == Stage::Open).await;
        }
    }
}
