//! A customer's browser at the pages of Stripe and of the bank.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::LOCATION;
use axum::http::{Request, StatusCode};

use crate::chance::Chance;
use crate::cloud::SimulatedCloud;
use crate::network::STRIPE_URL;

/// The browser of a customer. Clones are the same browser.
#[derive(Clone)]
pub struct Browser {
    pub cloud: SimulatedCloud,
    pub account: String,
    pub chance: Chance,
}

/// Cards that are typed into payment pages, with weights. The numbers are Stripe's
/// (docs.stripe.com/testing).
const CARDS: [(u32, &str); 13] = [
    (12, "4242424242424242"),
    (5, "5555555555554444"),
    // Declines every charge off session.
    (4, "4000000000000341"),
    // Wants 3-D Secure unless it was set up, each time, and before it declines.
    (2, "4000002500003155"),
    (4, "4000002760003184"),
    (1, "4000008260003178"),
    // Refunds that succeed or fail later.
    (1, "4000000000007726"),
    (1, "4000000000005126"),
    // Disputed at once, and inquired about.
    (1, "4000000000000259"),
    (1, "4000000000001976"),
    // Declined.
    (2, "4000000000000002"),
    (1, "4000000000009995"),
    (1, "4000000000009987"),
];

/// A number of a bank account whose debits fail, and one whose debits succeed.
const BANK_ACCOUNTS: [&str; 2] = ["000111111116", "000123456789"];

impl Browser {
    /// Pays at a payment page, or adds a card there. The bank may ask, at once or never answered.
    pub async fn pay(&self, url: &str, bank_debits: u32, old_cards: u32) {
        let form = if self.chance.happens(bank_debits) {
            let number = self.chance.pick(&BANK_ACCOUNTS);
            format!("method=us_bank_account&account={number}")
        } else {
            self.card_form(old_cards)
        };
        self.submit(url, &form).await;
        if self.chance.happens(200) {
            // A declined card leaves the page open. Another one is tried.
            self.submit(url, &self.card_form(old_cards)).await;
        }
    }

    /// What is typed for a card.
    fn card_form(&self, old_cards: u32) -> String {
        let card = self.chance.weighted(&CARDS);
        if !self.chance.happens(old_cards) {
            return format!("card={card}");
        }
        let now = self.cloud.parts().network.parts().clock.now();
        let (year, month) = (now.year(), u8::from(now.month()));
        format!("card={card}&exp_month={month}&exp_year={year}")
    }

    /// Saves another card in the portal, or makes a saved card the default or removes it.
    pub async fn change_cards_in_portal(&self, url: &str, saved: &[String], old_cards: u32) {
        let form = match (self.chance.number(..3), saved) {
            (0, [_, ..]) => format!("action=detach&payment_method={}", self.chance.pick(saved)),
            (1, [_, ..]) => format!("action=default&payment_method={}", self.chance.pick(saved)),
            _ => format!("action=add&{}", self.card_form(old_cards)),
        };
        self.submit(url, &form).await;
    }

    /// Sends a form, and answers the bank if it asks.
    async fn submit(&self, url: &str, form: &str) {
        let mut next = self.send(url, form).await;
        while let Some(page) = next.take() {
            let pause = *self.chance.pick(&[10, 100, 3_000, 100_000]);
            tokio::time::sleep(Duration::from_secs(self.chance.number(1..=pause))).await;
            let result = match self.chance.number(..10) {
                0 => return,
                1 => "fail",
                _ => "approve",
            };
            next = self.send(&page, &format!("result={result}")).await;
        }
    }

    /// Sends a form. The page of the bank if it asks now.
    async fn send(&self, url: &str, form: &str) -> Option<String> {
        let net = self.cloud.parts().network.parts();
        let request = Request::post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(form.to_owned()))
            .expect("a browser's request");
        let response = net.stand_in.respond(request).await;
        net.charged.notify_one();
        let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("");
        net.journal.note(format!(
            "{} sends {form} to {url}: {} {to}",
            self.account,
            response.status()
        ));
        let is_bank = response.status() == StatusCode::SEE_OTHER && to.starts_with("/authenticate");
        net.journal.reach(if is_bank { "page 3-D Secure" } else { "page of Stripe" });
        is_bank.then(|| format!("{STRIPE_URL}{to}"))
    }
}
