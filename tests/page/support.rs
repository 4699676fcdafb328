//! A customer in front of the page.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use time::UtcDateTime;
use time::macros::utc_datetime;
use tollgate_local::api::ApiClient;
use tollgate_local::clock::Pace;
use tollgate_local::control::TokenRequest;
use tollgate_local::{Cloud, CloudConfig, seed};
use tollgate_tests::binaries;

use crate::browser::{self, Browser, DESKTOP, PHONE, Scheme};

/// The account that the page signs in with by default.
pub(crate) const ACCOUNT: &str = seed::ACCOUNT;

/// The refill terms accepted with a payment.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refill {
    On,
    Off,
}

/// A cloud, a browser, and the customer's own access to the API to prepare and to check.
pub(crate) struct Visit {
    pub(crate) cloud: Cloud,
    pub(crate) browser: Browser,
    pub(crate) api: ApiClient,
    pub(crate) project: String,
}

impl Visit {
    /// None where there is no browser.
    pub(crate) async fn begin() -> Option<Visit> {
        Visit::begin_with(&[]).await
    }

    /// In a cloud deployed with these parameters.
    pub(crate) async fn begin_with(parameters: &[(&str, &str)]) -> Option<Visit> {
        Visit::begin_at(parameters, Pace::Frozen, Some(utc_datetime!(2026-11-22 10:00))).await
    }

    /// The same with the clock of the machine, for tokens of others.
    pub(crate) async fn begin_now(parameters: &[(&str, &str)]) -> Option<Visit> {
        Visit::begin_at(parameters, Pace::Running, None).await
    }

    async fn begin_at(
        parameters: &[(&str, &str)],
        pace: Pace,
        start: Option<UtcDateTime>,
    ) -> Option<Visit> {
        if !browser::is_there() {
            eprintln!(
                "NOT RUN: there is no chromedriver on this machine (Debian's packages chromium and chromium-driver)"
            );
            return None;
        }
        let mut config = CloudConfig::of_this_repository(BTreeMap::new()).unwrap();
        config.binaries = binaries::of(&config);
        config.pace = pace;
        // While the clock stands still, no rate limit recovers.
        let limits = [
            ("ApiBurstLimit", "5000"),
            ("PagesPerHour", "1000"),
            ("PagesPerDay", "1000"),
            ("StripeRequestsMax", "10000"),
        ];
        config.parameters.extend(limits.map(|(name, value)| (name.to_owned(), value.to_owned())));
        for (name, value) in parameters {
            config.parameters.insert((*name).to_owned(), (*value).to_owned());
        }
        config.start = start;
        let cloud = Cloud::start(config).await.unwrap();
        let seeded = seed::plant(&cloud).await.unwrap();
        let token = cloud
            .token(&TokenRequest { account: ACCOUNT.to_owned(), ..TokenRequest::default() })
            .unwrap();
        let api = ApiClient::new(&cloud.urls().api).with_token(token);
        Some(Visit { browser: Browser::new().await, api, project: seeded.project, cloud })
    }

    /// The API for staff.
    pub(crate) fn staff(&self) -> ApiClient {
        self.api_of("operator", "tollgate/admin")
    }

    /// The API for the platform, which acts for the customer.
    pub(crate) fn platform(&self) -> ApiClient {
        self.api_of("platform", "tollgate/platform").acting_for(ACCOUNT)
    }

    fn api_of(&self, account: &str, scope: &str) -> ApiClient {
        let (account, scope) = (account.to_owned(), Some(scope.to_owned()));
        let token = self.cloud.token(&TokenRequest { account, scope, ..TokenRequest::default() });
        ApiClient::new(&self.cloud.urls().api).with_token(token.unwrap())
    }

    /// Pictures in all looks, in none of which the page has to be scrolled sideways.
    pub(crate) async fn pictures(&self, name: &str) {
        self.browser.picture(name).await;
        for (size, scheme, look) in [
            (DESKTOP, Scheme::Dark, "dark"),
            (PHONE, Scheme::Light, "phone"),
            (PHONE, Scheme::Dark, "phone-dark"),
        ] {
            self.browser.look(size, scheme).await;
            let root = "document.documentElement";
            let hidden = format!("return {root}.scrollWidth - {root}.clientWidth");
            let hidden = self.browser.script(&hidden).await;
            assert_eq!(hidden, 0, "{name} at {size:?} has to be scrolled sideways");
            self.browser.picture(&format!("{name}-{look}")).await;
        }
        self.browser.look(DESKTOP, Scheme::Light).await;
    }

    /// Opens the page at a section.
    pub(crate) async fn open(&self, section: &str) {
        // Opening another section of the same page would not reload it.
        self.browser.open("about:blank").await;
        self.browser.open(&format!("{}/{section}", self.cloud.urls().api)).await;
        self.browser.see_css("main h1, main h2").await;
    }

    /// A request that must succeed, by the customer.
    pub(crate) async fn write(&self, method: &str, path: &str, body: &Value) -> Value {
        self.api.write(method, path, body).await.unwrap().success().unwrap()
    }

    pub(crate) async fn balance(&self) -> String {
        let balance = self.api.get("/v1/balance").await.unwrap().success().unwrap();
        balance["balance"].as_str().unwrap().to_owned()
    }

    /// Credit, without the page: paid at Stripe's with this card.
    pub(crate) async fn pay(&self, amount: &str, card: &str, refill: Refill) {
        let refill = match refill {
            Refill::On => json!({"enabled": true, "threshold": "5.00", "amount": "25.00"}),
            Refill::Off => json!({"enabled": false}),
        };
        let session = self
            .write(
                "POST",
                "/v1/checkout-sessions",
                &json!({"amount": amount, "auto_refill": refill}),
            )
            .await;
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let url = session["url"].as_str().unwrap();
        assert_eq!(
            self.api.send("POST", url, &form, format!("card={card}")).await.unwrap().status,
            303
        );
        self.cloud.idle().await;
    }

    /// A machine that runs.
    pub(crate) async fn start(&self, sku: &str, name: &str) -> Value {
        let path = format!("/v1/projects/{}/resources", self.project);
        self.write("POST", &path, &json!({"sku": sku, "name": name, "start": true})).await
    }

    /// Asks for a machine in the project's form. The page shows the answer.
    pub(crate) async fn create_machine(&self, name: &str) {
        self.open(&format!("#projects/{}", self.project)).await;
        self.browser.click("resource-new").await;
        self.browser.fill("[data-testid=resource-name]", name).await;
        self.browser.fill("[data-testid=resource-sku]", "vm-large").await;
        self.browser.click("resource-create").await;
    }

    pub(crate) async fn pass(&self, seconds: u64) {
        self.cloud.advance(std::time::Duration::from_secs(seconds)).await;
    }

    /// The browser's log, without Stripe's pages.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let stripe = self.cloud.urls().stripe.clone().unwrap();
        self.browser
            .complaints()
            .await
            .into_iter()
            .filter(|complaint| !complaint.contains(&stripe))
            .collect()
    }

    /// Asserts that the browser's log is empty.
    pub(crate) async fn end(self) {
        assert_eq!(self.complaints().await, Vec::<String>::new());
        self.browser.client.clone().close().await.unwrap();
    }
}
