//! A real browser: Chromium, controlled through its WebDriver.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::error::ErrorStatus;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::{Value, json};

/// How long something may take to appear. A page that needs longer is broken, or its machine is.
const APPEARS_MAX: Duration = Duration::from_secs(20);

/// A window of a browser of its own, with nothing in it from before.
pub(crate) struct Browser {
    pub(crate) client: Client,
    _driver: Driver,
}

/// The WebDriver's process.
struct Driver(Child);

impl Drop for Driver {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Whether there is a browser on this machine. In CI there must be: `.ci/run` sets
/// `TOLLGATE_BROWSER=required`.
pub(crate) fn is_there() -> bool {
    let there =
        Command::new("chromedriver").arg("--version").stdout(Stdio::null()).status().is_ok();
    let required = std::env::var("TOLLGATE_BROWSER").is_ok_and(|value| value == "required");
    assert!(
        there || !required,
        "the page's tests need Debian's packages chromium and chromium-driver"
    );
    there
}

/// How the page is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scheme {
    Light,
    Dark,
}

/// Whether there is a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    There,
    Gone,
}

/// The inner size of the window: `(width, height)` in CSS pixels.
pub(crate) type Size = (u32, u32);

pub(crate) const DESKTOP: Size = (1280, 900);
pub(crate) const PHONE: Size = (360, 740);

/// How often a driver is started that finds no port.
const STARTS_MAX: usize = 5;

/// A driver and its port. `None` if it ended at once: the port that it chose was taken meanwhile.
fn start_driver() -> Option<(Driver, String)> {
    let mut driver = Command::new("chromedriver")
        .args(["--port=0", "--log-level=WARNING"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(driver.stdout.take().unwrap());
    let driver = Driver(driver);
    let mut lines = output.lines().map(Result::unwrap);
    let port = lines.find_map(|line| {
        Some(line.split_once("successfully on port ")?.1.trim_end_matches('.').to_owned())
    })?;
    // Its further output must not block it.
    std::thread::spawn(move || lines.for_each(drop));
    Some((driver, port))
}

impl Browser {
    pub(crate) async fn new() -> Browser {
        let (driver, port) = (0..STARTS_MAX).find_map(|_| start_driver()).unwrap();
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--hide-scrollbars",
            "--lang=en-US",
        ];
        let capabilities = json!({
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        });
        let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(capabilities.as_object().unwrap().clone())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap();
        let browser = Browser { client, _driver: driver };
        browser.look(DESKTOP, Scheme::Light).await;
        browser
    }

    /// Size and color scheme, as a device has them.
    pub(crate) async fn look(&self, (width, height): Size, scheme: Scheme) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        let scheme = match scheme {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}]);
        self.devtools("Emulation.setEmulatedMedia", json!({"features": features})).await;
    }

    /// Without a network, or with one again.
    pub(crate) async fn set_network(&self, network: Network) {
        self.devtools("Network.enable", json!({})).await;
        let conditions = json!({"offline": network == Network::Gone, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1});
        self.devtools("Network.emulateNetworkConditions", conditions).await;
    }

    pub(crate) async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    /// The element with this `data-testid`, as soon as it exists and is visible.
    pub(crate) async fn see(&self, id: &str) -> fantoccini::elements::Element {
        self.see_css(&format!("[data-testid='{id}']")).await
    }

    pub(crate) async fn see_css(&self, selector: &str) -> fantoccini::elements::Element {
        let found = async {
            loop {
                if let Ok(element) = self.client.find(Locator::Css(selector)).await
                    && element.is_displayed().await.unwrap_or(false)
                {
                    return element;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        match tokio::time::timeout(APPEARS_MAX, found).await {
            Ok(element) => element,
            Err(_) => panic!(
                "{selector} does not appear; there is:\n{}\n{:?}",
                self.text("body").await,
                self.complaints().await
            ),
        }
    }

    /// Waits until the selected element has this text.
    pub(crate) async fn says(&self, selector: &str, expected: &str) {
        let said = async {
            while !self.text(selector).await.contains(expected) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(APPEARS_MAX, said).await.is_err() {
            panic!(
                "{selector} does not say {expected:?}; there is:\n{}\n{:?}",
                self.text("body").await,
                self.complaints().await
            );
        }
    }

    /// Waits until there are so many.
    pub(crate) async fn counts(&self, selector: &str, expected: usize) {
        let counted = async {
            while self.client.find_all(Locator::Css(selector)).await.unwrap().len() != expected {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(APPEARS_MAX, counted).await.is_err() {
            panic!("there are not {expected} {selector}; there is:\n{}", self.text("body").await);
        }
    }

    /// The text of the first element that a selector finds, as it can be read; empty if there is
    /// none.
    pub(crate) async fn text(&self, selector: &str) -> String {
        match self.client.find(Locator::Css(selector)).await {
            Ok(element) => element.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    pub(crate) async fn click(&self, id: &str) {
        self.click_css(&format!("[data-testid='{id}']")).await;
    }

    /// Clicks, again if the page has just drawn the element anew or something is still in front of
    /// it.
    pub(crate) async fn click_css(&self, selector: &str) {
        let clicked = async {
            loop {
                match self.see_css(selector).await.click().await {
                    Ok(()) => return,
                    Err(error) if may_pass(&error) => {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    Err(error) => panic!("{selector} cannot be clicked: {error}"),
                }
            }
        };
        assert!(
            tokio::time::timeout(APPEARS_MAX, clicked).await.is_ok(),
            "{selector} cannot be clicked"
        );
    }

    /// Replaces the content of a field.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        let element = self.see_css(selector).await;
        element.clear().await.unwrap();
        element.send_keys(text).await.unwrap();
    }

    /// Chooses an option of a list by its value.
    pub(crate) async fn choose(&self, selector: &str, value: &str) {
        self.see_css(selector).await.select_by_value(value).await.unwrap();
    }

    pub(crate) async fn script(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    /// A picture of the whole page, in the build directory.
    pub(crate) async fn picture(&self, name: &str) {
        let height =
            self.script("return document.documentElement.scrollHeight").await.as_u64().unwrap();
        let width = self.script("return window.innerWidth").await.as_u64().unwrap();
        let clip = json!({"x": 0, "y": 0, "width": width, "height": height, "scale": 1});
        let shot = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let shot = self.devtools("Page.captureScreenshot", shot).await;
        let png = base64::Engine::decode(
            &base64::engine::general_purpose::STANDARD,
            shot["data"].as_str().unwrap(),
        );
        let directory = pictures();
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(format!("{name}.png")), png.unwrap()).unwrap();
    }

    /// The browser's log since the last call: script errors, policy violations, and missing files.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.client.issue_cmd(Log).await.unwrap();
        let entries = log.as_array().into_iter().flatten();
        entries
            .filter(|entry| entry["level"] == "SEVERE")
            .map(|entry| entry["message"].to_string())
            .collect()
    }

    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.client.issue_cmd(DevTools { command: command.to_owned(), parameters }).await.unwrap()
    }
}

/// The folder of the screenshots, beside cargo's output.
fn pictures() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("page")
}

fn may_pass(error: &fantoccini::error::CmdError) -> bool {
    matches!(error, fantoccini::error::CmdError::Standard(error)
        if [ErrorStatus::StaleElementReference, ErrorStatus::ElementClickIntercepted, ErrorStatus::ElementNotInteractable]
            .contains(&error.error))
}

/// ChromeDriver's `POST /session/{id}/goog/cdp/execute`.
#[derive(Debug)]
struct DevTools {
    command: String,
    parameters: Value,
}

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(
        &self,
        base: &url::Url,
        session: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        let body = json!({"cmd": self.command, "params": self.parameters});
        (http::Method::POST, Some(body.to_string()))
    }
}

/// ChromeDriver's `POST /session/{id}/se/log`.
#[derive(Debug)]
struct Log;

impl WebDriverCompatibleCommand for Log {
    fn endpoint(
        &self,
        base: &url::Url,
        session: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({"type": "browser"}).to_string()))
    }
}
