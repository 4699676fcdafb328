//! npm `oidc-provider`, a certified OpenID provider, in a process of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

/// The variable with the directory into which npm installed the package. `.ci/run` sets it.
const PACKAGES: &str = "TOLLGATE_OIDC_PROVIDER";
/// How long the provider may take to start or to follow a setting.
const READY_MAX: Duration = Duration::from_secs(20);

pub(crate) struct CertifiedProvider {
    pub(crate) url: String,
    process: Child,
    input: ChildStdin,
    events: Arc<Mutex<Vec<Value>>>,
}

impl Drop for CertifiedProvider {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

impl CertifiedProvider {
    /// `None` on a machine for which the package was not installed.
    pub(crate) async fn start() -> Option<CertifiedProvider> {
        let Ok(packages) = std::env::var(PACKAGES) else {
            eprintln!(
                "NOT RUN: {PACKAGES} names no directory with npm's oidc-provider \
                 (npm install --prefix DIRECTORY oidc-provider@9.13.3)"
            );
            return None;
        };
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut process = Command::new("node")
            .arg(tests.join("page/oidc-provider.mjs"))
            .arg(packages)
            .arg(tests.join("../infra/local/issuer-test-key.pk8"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let events = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&events);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                seen.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        let mut provider = CertifiedProvider { url: String::new(), process, input, events };
        provider.wait_for("listening", 1).await;
        let first = provider.events.lock().unwrap()[0].clone();
        provider.url = first["issuer"].as_str().unwrap().to_owned();
        Some(provider)
    }

    /// Changes settings. They are described in `oidc-provider.mjs`.
    pub(crate) async fn set(&mut self, settings: &Value) {
        let before = self.count("ready");
        writeln!(self.input, "{settings}").unwrap();
        self.wait_for("ready", before + 1).await;
    }

    /// Ends all sessions and tokens.
    pub(crate) async fn forget(&mut self) {
        self.set(&json!({"forget": true})).await;
    }

    /// How often something happened.
    pub(crate) fn count(&self, event: &str) -> usize {
        self.events.lock().unwrap().iter().filter(|seen| seen["event"] == event).count()
    }

    /// Everything that went wrong there.
    pub(crate) fn errors(&self) -> Vec<Value> {
        let events = self.events.lock().unwrap();
        events.iter().filter(|seen| !seen["error"].is_null()).cloned().collect()
    }

    async fn wait_for(&self, event: &str, times: usize) {
        let happened = async {
            while self.count(event) < times {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let in_time = tokio::time::timeout(READY_MAX, happened).await;
        assert!(in_time.is_ok(), "oidc-provider does not say {event:?}: {:?}", self.events);
    }
}
