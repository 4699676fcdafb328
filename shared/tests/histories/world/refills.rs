//! Refills: their settings, cards and attempts.

use tollgate::domain::account::{CardChoice, TaxMode};
use tollgate::domain::command::{Command, RefillCharge, RefillSettings, RefillTerms};
use tollgate::domain::event::RefillDecline;
use tollgate::domain::ids::CardId;
use tollgate::domain::money::Usd;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::timestamp::Timestamp;

use super::{World, id};
use crate::model::Asked;
use crate::steps::Action;

impl World {
    /// One card expires tomorrow and is renewed for a month then, one has expired.
    fn card_ends_at(&self, card: &CardId) -> Option<Timestamp> {
        match card.as_str() {
            "pm_1" => Some(self.now.next_day()),
            "pm_2" => Some(self.now.plus(-1)),
            _ => None,
        }
    }

    pub(super) fn refill(&mut self, action: &Action) -> Result<Option<Refusal>, String> {
        let none = Asked::default();
        let open = self.state().refill.attempt.as_ref().map(|attempt| attempt.number);
        let attempt =
            |off: u8| open.unwrap_or(self.state().refill.attempts_so_far) + u32::from(off);
        match *action {
            Action::SetRefill { terms, card, cap } => {
                let multiple = |threshold, amount| Some(RefillTerms::multiple(threshold, amount));
                let dollars =
                    |threshold, amount| multiple(Usd::dollars(threshold), Usd::dollars(amount));
                let to_target = |threshold, target| {
                    let charge = RefillCharge::ToTarget { target: Usd::dollars(target) };
                    Some(RefillTerms { threshold: Usd::dollars(threshold), charge })
                };
                let terms = [
                    dollars(10, 25),
                    dollars(30, 10),
                    dollars(1, 1),
                    None,
                    dollars(500, 100),
                    dollars(0, 25),
                    multiple(Usd::from_micros(1), Usd::dollars(25)),
                    dollars(10, 2_000),
                    to_target(10, 40),
                    to_target(20, 20),
                ][usize::from(terms % 10)];
                let card = match card {
                    3 => None,
                    number => Some(id(&format!("pm_{number}"))?),
                };
                let monthly_cap = [None, Some(60), Some(200), Some(5), Some(25)]
                    [usize::from(cap % 5)]
                .map(Usd::dollars);
                self.command(
                    &Command::ChangeRefill(RefillSettings {
                        terms,
                        card_ends_at: card.as_ref().and_then(|card| self.card_ends_at(card)),
                        card,
                        card_choice: CardChoice::Named,
                        monthly_cap,
                        ..RefillSettings::default()
                    }),
                    none,
                )
            }
            Action::FollowCards { card } => {
                let card_choice = [CardChoice::Named, CardChoice::Default][usize::from(card % 2)];
                let card = id(&format!("pm_{card}"))?;
                let card_ends_at = self.card_ends_at(&card);
                self.command(&Command::FollowCards { card, card_choice, card_ends_at }, none)
            }
            Action::RefillNow => self.command(&Command::RefillNow, none),
            Action::BeginRefill => self
                .command(&Command::BeginRefill { customer: id("cus")?, tax: TaxMode::Off }, none),
            Action::AskCustomer { off } => {
                self.command(&Command::AskCustomer { attempt: attempt(off), url: None }, none)
            }
            Action::FailRefill { off, never } => {
                let decline = if never == 1 { RefillDecline::Never } else { RefillDecline::Later };
                let (attempt, code) = (attempt(off), "do_not_honor".to_owned());
                self.command(&Command::FailRefill { attempt, decline, code, reason: None }, none)
            }
            Action::RemoveCard { card } => {
                self.command(&Command::RemoveCard { card: id(&format!("pm_{card}"))? }, none)
            }
            _ => Ok(None),
        }
    }
}
