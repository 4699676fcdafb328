//! One process of a function.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use axum::body::Bytes;
use serde_json::Value;
use time::UtcDateTime;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot, watch};

use crate::aws::lambda::invocation::{Outcome, failure};
use crate::runtime::log::Log;
use crate::runtime::sync::lock;
use crate::template::wiring::Function;

/// A process of a function, from its start to its end.
#[derive(Debug)]
pub(crate) struct Instance {
    /// The name of the binary and a number. Part of the process's endpoints, so that each call
    /// identifies its process.
    pub(crate) id: String,
    pub(crate) function: String,
    pub(crate) binary: String,
    sender: mpsc::UnboundedSender<Handed>,
    pub(super) mailbox: tokio::sync::Mutex<mpsc::UnboundedReceiver<Handed>>,
    /// The current task of the process.
    pub(super) current: Mutex<Option<Current>>,
    pub(super) ready: AtomicBool,
    init_error: Mutex<Option<Value>>,
    child: Mutex<Option<Child>>,
    exit: watch::Sender<Option<ExitStatus>>,
    /// Confirm that all of standard output and of standard error so far is in the log.
    forwarders: OnceLock<[mpsc::UnboundedSender<Logged>; 2]>,
}

/// Sent when everything written so far is in the log.
type Logged = oneshot::Sender<()>;

/// An invocation on its way into a process.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(super) request_id: String,
    pub(super) payload: Bytes,
    /// By the cloud's clock.
    pub(super) handed_at: UtcDateTime,
    pub(super) timeout: Duration,
    pub(super) taken: oneshot::Sender<()>,
    pub(super) reply: oneshot::Sender<Outcome>,
}

#[derive(Debug)]
pub(super) struct Current {
    pub(super) request_id: String,
    pub(super) reply: oneshot::Sender<Outcome>,
}

async fn forward(
    log: &Log,
    function: &str,
    output: Option<impl AsyncRead + Unpin>,
    mut asked: mpsc::UnboundedReceiver<Logged>,
) {
    let Some(output) = output else { return };
    let mut reader = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        tokio::select! {
            // Lines that were written before the question are read before the answer.
            biased;
            read = reader.read_until(b'\n', &mut line) => match read {
                Ok(0) | Err(_) => return,
                Ok(_) => {
                    log.line(function, String::from_utf8_lossy(&line).trim_end());
                    line.clear();
                }
            },
            // An incomplete line stays in `line` and is continued.
            Some(logged) = asked.recv() => {
                let _gone = logged.send(());
            }
        }
    }
}

impl Instance {
    /// A process that is not started yet.
    pub(super) fn new(id: &str, function: &Function) -> Arc<Self> {
        let (sender, mailbox) = mpsc::unbounded_channel();
        Arc::new(Self {
            id: id.to_owned(),
            function: function.name.clone(),
            binary: function.binary.clone(),
            sender,
            mailbox: tokio::sync::Mutex::new(mailbox),
            current: Mutex::default(),
            ready: AtomicBool::new(false),
            init_error: Mutex::default(),
            child: Mutex::default(),
            exit: watch::Sender::new(None),
            forwarders: OnceLock::new(),
        })
    }

    /// Starts the process. `ended` is called when it has ended.
    ///
    /// # Errors
    ///
    /// If there is no such program, as text.
    pub(super) fn start(
        self: &Arc<Self>,
        binary: &Path,
        environment: BTreeMap<String, String>,
        log: &Arc<Log>,
        ended: impl FnOnce() + Send + 'static,
    ) -> Result<(), String> {
        let (of_stdout, asked_of_stdout) = mpsc::unbounded_channel();
        let (of_stderr, asked_of_stderr) = mpsc::unbounded_channel();
        let _first = self.forwarders.set([of_stdout, of_stderr]);
        let child = Command::new(binary)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C in a terminal goes to the local cloud, which ends its processes itself.
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        let mut child =
            child.map_err(|error| format!("{} cannot be run: {error}", binary.display()))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        *lock(&self.child) = Some(child);
        let watched = Arc::clone(self);
        let log = Arc::clone(log);
        tokio::spawn(async move {
            // Both outputs are closed when the process has ended.
            tokio::join!(
                forward(&log, &watched.binary, stdout, asked_of_stdout),
                forward(&log, &watched.binary, stderr, asked_of_stderr)
            );
            let child = lock(&watched.child).take();
            let status = match child {
                Some(mut child) => child.wait().await.ok(),
                None => None,
            };
            watched.exit.send_replace(Some(status.unwrap_or_default()));
            ended();
        });
        Ok(())
    }

    /// Gives the process an invocation for when it next asks; false if it has ended.
    pub(super) fn hand(&self, handed: Handed) -> bool {
        self.exit.borrow().is_none() && self.sender.send(handed).is_ok()
    }

    /// Whether the process has ever asked for an invocation.
    pub(super) fn was_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// The request id of the invocation the process is working on.
    pub(crate) fn working_on(&self) -> Option<String> {
        lock(&self.current).as_ref().map(|current| current.request_id.clone())
    }

    /// Ends the process at once, as the machine under it would.
    pub(crate) fn kill(&self) {
        if let Some(child) = lock(&self.child).as_mut() {
            // An error means that it has ended already.
            let _ended = child.start_kill();
        }
    }

    /// Waits until the process has ended.
    pub(crate) async fn ended(&self) {
        // The sender is a field of self, so this cannot fail.
        let mut exit = self.exit.subscribe();
        let _ended = exit.wait_for(Option::is_some).await;
    }

    /// Waits until all that the process has written so far is in the log.
    pub(super) async fn logged(&self) {
        for forwarder in self.forwarders.get().into_iter().flatten() {
            let (logged, is_logged) = oneshot::channel();
            if forwarder.send(logged).is_ok() {
                // An error means that the process has ended, and all of it was read.
                let _logged = is_logged.await;
            }
        }
    }

    pub(super) fn exit(&self) -> String {
        self.exit
            .borrow()
            .map_or_else(|| "without status".to_owned(), |status| format!("with {status}"))
    }

    pub(super) fn set_init_error(&self, error: Value) {
        *lock(&self.init_error) = Some(error);
    }

    pub(super) fn init_error(&self) -> Value {
        let reported = lock(&self.init_error).take();
        reported.unwrap_or_else(|| {
            failure(
                "Runtime.InitError",
                &format!("{} ended or hung before its first invocation, {}", self.id, self.exit()),
            )
        })
    }
}
