//! [`AccountSnapshot`]: an account as it is decided upon: its state, the list that agrees with it, prices and
//! policy.

use crate::domain::account::AccountState;
use crate::domain::apply::apply;
use crate::domain::event::Event;
use crate::domain::ids::AccountId;
use crate::domain::policy::Policy;
use crate::domain::prices::PriceList;
use crate::domain::refusal::Refusal;
use crate::domain::resources::BillableList;

/// An account as it is decided upon. The list is known to agree with the state.
#[derive(Clone, Debug)]
pub struct AccountSnapshot<'a> {
    account: &'a AccountId,
    state: AccountState,
    billables: BillableList,
    prices: &'a PriceList,
    policy: &'a Policy,
}

impl<'a> AccountSnapshot<'a> {
    /// Puts together what was read; `None` if state and list tell of different resources, and both
    /// must be read again.
    ///
    /// # Errors
    /// [`Refusal::UnknownSku`], [`Refusal::WrongUnit`] if the price list lacks what runs.
    pub fn new(
        account: &'a AccountId,
        state: AccountState,
        billables: BillableList,
        prices: &'a PriceList,
        policy: &'a Policy,
    ) -> Result<Option<AccountSnapshot<'a>>, Refusal> {
        let agree = billables.agree_with(&state, prices)?;
        Ok(agree.then_some(AccountSnapshot { account, state, billables, prices, policy }))
    }

    #[must_use]
    pub fn account(&self) -> &'a AccountId {
        self.account
    }

    /// The state after its last row.
    #[must_use]
    pub fn state(&self) -> &AccountState {
        &self.state
    }

    /// Its resources and meters.
    #[must_use]
    pub fn billables(&self) -> &BillableList {
        &self.billables
    }

    #[must_use]
    pub fn prices(&self) -> &'a PriceList {
        self.prices
    }

    /// The rules in numbers.
    #[must_use]
    pub fn policy(&self) -> &'a Policy {
        self.policy
    }

    /// The account after one more row.
    pub fn apply(&mut self, event: &Event) {
        self.billables.apply(event, self.state.next_seq);
        self.state = apply(&self.state, event);
    }
}
