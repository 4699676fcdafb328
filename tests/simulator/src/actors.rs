//! Customers, the platform, staff, and what happens at Stripe without us. Each draws what it does
//! next.

pub mod browser;
pub mod customer;
pub mod gateway;
pub mod mistakes;
pub mod outside;
pub mod platform;
pub mod requests;
pub mod staff;

use customer::CustomerAction;
use outside::OutsideAction;
use staff::StaffAction;

use crate::chance::Chance;

/// How likely the actors of a run do what.
#[derive(Clone, Debug)]
pub struct ActorHabits {
    /// The longest pause between two actions of a customer, in minutes.
    pub pause_minutes: u64,
    /// What a customer does, with weights.
    customer: Vec<(u32, CustomerAction)>,
    staff: Vec<(u32, StaffAction)>,
    outside: Vec<(u32, OutsideAction)>,
    /// Starts that fail on the platform, in a thousand.
    failing_starts: u32,
    /// The longest pause between two reports of usage, in minutes. `None` if nothing is metered.
    report_minutes: Option<u64>,
    /// The longest pause between two times at which a gateway holds credit, in minutes. `None` if there
    /// is no gateway.
    hold_minutes: Option<u64>,
    /// Payments by bank debit, in a thousand.
    bank_debits: u32,
    /// Mails about low credit that make a customer pay by hand, in a thousand.
    worries: u32,
    /// Customers who begin with a trial, in a thousand.
    trials: u32,
    /// Cards that expire soon, in a thousand.
    old_cards: u32,
}

impl ActorHabits {
    /// Habits that differ in kind from run to run. `pauses` are what a customer pauses at most, in
    /// minutes. They are longer in long runs.
    #[must_use]
    pub fn drawn(chance: &Chance, pauses: &[u64]) -> Self {
        let weighted = |usual: u32| *chance.pick(&[usual, usual, usual * 3, 0]);
        // Those who seldom pay by hand need refills.
        let mut customer = vec![
            (*chance.pick(&[4, 1]), CustomerAction::AddCredit),
            (*chance.pick(&[4, 12]), CustomerAction::Start),
        ];
        customer.extend(CustomerAction::USUAL.map(|(usual, action)| (weighted(usual), action)));
        let mut staff = vec![(*chance.pick(&[2, 2, 20]), StaffAction::Bonus)];
        staff.extend(StaffAction::USUAL.map(|(usual, action)| (weighted(usual), action)));
        let mut outside = vec![(1, OutsideAction::Refund)];
        outside.extend(OutsideAction::USUAL.map(|(usual, action)| (weighted(usual), action)));
        Self {
            pause_minutes: *chance.pick(pauses),
            customer,
            staff,
            outside,
            failing_starts: *chance.pick(&[0, 50, 300]),
            report_minutes: *chance.pick(&[None, Some(20), Some(300)]),
            bank_debits: *chance.pick(&[0, 100, 500]),
            worries: *chance.pick(&[700, 700, 100]),
            trials: *chance.pick(&[0, 400, 900]),
            old_cards: *chance.pick(&[0, 50, 500]),
            hold_minutes: chance.pick(&[None, pauses.first(), pauses.get(1)]).copied(),
        }
    }
}
