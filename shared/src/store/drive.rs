//! Settling and commands: read, let the domain decide, append; and begin again where another writer
//! was faster.

use super::backoff::Backoff;
use super::{
    Appended, CommandError, CommandOutcome, CommandReceipt, ExistingClaim, SettleReport,
    SettledAccount, Store, StoreError,
};
use crate::domain::account::AccountState;
use crate::domain::command::{Command, TakenCredit};
use crate::domain::decide::decide;
use crate::domain::event::{
    Cause, Change, Event, GrantChange, PaymentFacts, TakeBack, request_claim,
};
use crate::domain::ids::{AccountId, ResourceId};
use crate::domain::policy::Policy;
use crate::domain::prices::PriceList;
use crate::domain::refusal::Refusal;
use crate::domain::resolve;
use crate::domain::resources::BillableList;
use crate::domain::row::{ChainHead, RowDigest};
use crate::domain::settle::{ROWS_MAX, TriggerDelivery, next_row};
use crate::domain::snapshot::AccountSnapshot;
use crate::domain::timestamp::Timestamp;

/// On which account, by which rules, and when: what a trigger brings along.
#[derive(Clone, Copy, Debug)]
pub struct Trigger<'a> {
    /// The account.
    pub account: &'a AccountId,
    /// The price list.
    pub prices: &'a PriceList,
    /// The rules in numbers.
    pub policy: &'a Policy,
    /// The trigger's own time (UTC).
    pub now: Timestamp,
    /// How long ago that may be.
    pub delivery: TriggerDelivery,
}

/// Whether an account is settled before a command that does not need its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeforeCommand {
    /// If it can be: what is due comes before money that goes.
    Settle,
    /// It is not: money that comes in before a suspension is written pays the gap.
    Nothing,
}

impl Store {
    /// Brings an account up to now: appends the rows that are due, one by one. Does nothing to an
    /// account that is not open.
    ///
    /// Two reads, if nothing is due; one write more for each row.
    ///
    /// # Errors
    /// [`StoreError`]; among them [`StoreError::Unpriced`].
    pub async fn settle(&self, occasion: Trigger<'_>) -> Result<SettleReport, StoreError> {
        self.settled(occasion).await.map(|settled| settled.report)
    }

    /// The same, with the account as it is then.
    ///
    /// # Errors
    /// As [`Store::settle`].
    pub async fn settled<'a>(
        &self,
        occasion: Trigger<'a>,
    ) -> Result<SettledAccount<'a>, StoreError> {
        let mut driver = Driver::new(self, occasion);
        let current = driver.read(None).await?;
        let current = driver.settle(current).await?;
        Ok(SettledAccount { view: current.view, report: driver.report })
    }

    /// Settles an account and carries out a command on it, then settles what follows from it.
    /// `command` says what is wanted of the account as it is; it is asked again whenever another
    /// row was faster.
    ///
    /// The first command of an account is [`Command::Open`].
    ///
    /// # Errors
    /// [`CommandError::Refused`]: nothing was written for the command. [`CommandError::Fault`]: after
    /// [`StoreError::Unavailable`] the row may have been written.
    pub async fn execute(
        &self,
        occasion: Trigger<'_>,
        cause: Cause,
        command: impl Fn(&AccountSnapshot<'_>) -> Result<Command, Refusal> + Sync,
    ) -> Result<CommandOutcome, CommandError> {
        Driver::new(self, occasion).execute(cause, Wish::Command(&command)).await
    }

    /// The platform reports that a start could not be carried out: everything it was charged is
    /// given back.
    ///
    /// # Errors
    /// As [`Store::execute`].
    pub async fn fail_start(
        &self,
        occasion: Trigger<'_>,
        cause: Cause,
        resource: &ResourceId,
    ) -> Result<CommandOutcome, CommandError> {
        Driver::new(self, occasion).execute(cause, Wish::FailStart(resource)).await
    }

    /// Carries out a command that needs the state alone. Neither a list that disagrees nor a SKU
    /// without a price stands in its way: money that Stripe confirmed is always credited. The
    /// account is settled afterwards, if it can be.
    ///
    /// # Errors
    /// As [`Store::execute`].
    pub async fn execute_on_state(
        &self,
        occasion: Trigger<'_>,
        cause: Cause,
        before: BeforeCommand,
        command: impl Fn(&AccountState) -> Result<Command, Refusal> + Sync,
    ) -> Result<CommandOutcome, CommandError> {
        Driver::new(self, occasion)
            .execute_on_state(cause, before, StateWish::Command(&command))
            .await
    }

    /// A refund failed or a dispute was won: gives back exactly what its row had taken, if there is
    /// one.
    ///
    /// # Errors
    /// As [`Store::execute`].
    pub async fn give_back(
        &self,
        occasion: Trigger<'_>,
        by: &TakeBack,
        of: &PaymentFacts,
        cents: i64,
    ) -> Result<CommandOutcome, CommandError> {
        let wish = StateWish::GiveBack { by, of, cents };
        Driver::new(self, occasion)
            .execute_on_state(Cause::Stripe, BeforeCommand::Nothing, wish)
            .await
    }
}

/// A command that needs the list.
#[derive(Clone, Copy)]
enum Wish<'w> {
    Command(&'w (dyn Fn(&AccountSnapshot<'_>) -> Result<Command, Refusal> + Sync)),
    FailStart(&'w ResourceId),
}

/// A command that does not.
#[derive(Clone, Copy)]
enum StateWish<'w> {
    Command(&'w (dyn Fn(&AccountState) -> Result<Command, Refusal> + Sync)),
    GiveBack { by: &'w TakeBack, of: &'w PaymentFacts, cents: i64 },
}

/// An account as it was read, or became by our own rows: state and list agree.
#[derive(Debug)]
struct Current<'a> {
    view: AccountSnapshot<'a>,
    digest: RowDigest,
}

impl Current<'_> {
    fn head(&self) -> ChainHead {
        ChainHead { state: self.view.state().clone(), digest: self.digest.clone() }
    }

    fn advance(&mut self, event: &Event, head: &ChainHead) {
        self.view.apply(event);
        self.digest = head.digest.clone();
    }
}

/// One run on one account.
struct Driver<'s, 'a> {
    store: &'s Store,
    occasion: Trigger<'a>,
    report: SettleReport,
    /// Begins anew with every row of ours.
    losses: Backoff,
}

impl<'s, 'a> Driver<'s, 'a> {
    fn new(store: &'s Store, occasion: Trigger<'a>) -> Driver<'s, 'a> {
        Driver { store, occasion, report: SettleReport::default(), losses: Backoff::for_losses() }
    }

    async fn execute(
        mut self,
        cause: Cause,
        wish: Wish<'_>,
    ) -> Result<CommandOutcome, CommandError> {
        if let Some(claimed) = self.answered_before(&cause).await? {
            return Ok(self.repeated(claimed).await);
        }
        let mut current = self.read(None).await?;
        loop {
            current = self.settle(current).await?;
            let command = self.resolve(wish, &current.view).await?;
            let now = self.now(current.view.state());
            let event =
                decide(current.view.state(), &command, cause.clone(), self.occasion.policy, now)?;
            match self.append(&current, &event).await? {
                Appended::Written(head) | Appended::AlreadyThere(head) => {
                    current.advance(&event, &head);
                    return Ok(self.finish(event, head, Some(current), None).await);
                }
                Appended::AlreadyAppended(claimed) => {
                    return self.already_appended(&event, claimed).await;
                }
                Appended::KeyReused(_) => return Err(Refusal::KeyReused.into()),
                Appended::Lost(winner) => {
                    let winner = self.lost(winner).await?;
                    current = self.read(winner).await?;
                }
            }
        }
    }

    async fn execute_on_state(
        mut self,
        cause: Cause,
        before: BeforeCommand,
        wish: StateWish<'_>,
    ) -> Result<CommandOutcome, CommandError> {
        if let Some(claimed) = self.answered_before(&cause).await? {
            return Ok(self.repeated(claimed).await);
        }
        let unsettled = match before {
            BeforeCommand::Settle => self.bring_up(None).await.err(),
            BeforeCommand::Nothing => None,
        };
        let (store, Trigger { account, policy, .. }) = (self.store, self.occasion);
        let (mut known, mut taken) = (None, None);
        loop {
            let head = self.head(known).await?;
            let command = self.resolve_on_state(wish, &head.state, &mut taken).await?;
            let event =
                decide(&head.state, &command, cause.clone(), policy, self.now(&head.state))?;
            match store.append(account, &head, &event, &BillableList::default(), policy).await? {
                Appended::Written(head) | Appended::AlreadyThere(head) => {
                    return Ok(self.finish(event, head, None, unsettled).await);
                }
                Appended::AlreadyAppended(claimed) => {
                    return self.already_appended(&event, claimed).await;
                }
                Appended::KeyReused(_) => return Err(Refusal::KeyReused.into()),
                Appended::Lost(winner) => known = self.lost(winner).await?,
            }
        }
    }

    /// Whether a request was answered before.
    async fn answered_before(&self, cause: &Cause) -> Result<Option<ExistingClaim>, CommandError> {
        let Cause::Request { key, digest } = cause else {
            return Ok(None);
        };
        match self.store.claim(&request_claim(self.occasion.account, key)).await? {
            Some(claimed) if claimed.digest.as_ref() == Some(digest) => Ok(Some(claimed)),
            Some(_) => Err(Refusal::KeyReused.into()),
            None => Ok(None),
        }
    }

    async fn resolve(
        &self,
        wish: Wish<'_>,
        view: &AccountSnapshot<'_>,
    ) -> Result<Command, CommandError> {
        match wish {
            Wish::Command(command) => Ok(command(view)?),
            Wish::FailStart(id) => {
                let state = view.state();
                let since = view
                    .billables()
                    .resources
                    .get(id)
                    .map_or(state.next_seq, |resource| resource.seq);
                let rows = self
                    .store
                    .all_rows_with_lines(self.occasion.account, since..state.next_seq)
                    .await?;
                Ok(resolve::fail_start(view, id, rows.iter().map(|row| (&row.event, &row.state)))?)
            }
        }
    }

    async fn resolve_on_state(
        &self,
        wish: StateWish<'_>,
        state: &AccountState,
        taken: &mut Option<TakenCredit>,
    ) -> Result<Command, CommandError> {
        match wish {
            StateWish::Command(command) => Ok(command(state)?),
            StateWish::GiveBack { by, of, cents } => {
                // What was taken never changes. If nothing was, this is read after the head and
                // again for every head: a row that takes it now comes after our head, and the
                // append is lost.
                if taken.is_none() {
                    *taken = self.taken(by).await?;
                }
                Ok(Command::GiveBack {
                    by: by.clone(),
                    of: of.clone(),
                    cents,
                    taken: taken.clone(),
                })
            }
        }
    }

    /// What was taken for a refund or dispute.
    async fn taken(&self, by: &TakeBack) -> Result<Option<TakenCredit>, StoreError> {
        let Some(claimed) = self.store.claim(&format!("stripe#{}#debit", by.as_str())).await?
        else {
            return Ok(None);
        };
        let rows = claimed.seq.saturating_sub(1)..claimed.seq + 1;
        let rows = self.store.all_rows_with_lines(&claimed.account, rows).await?;
        let [before, row] = rows.as_slice() else {
            return Ok(None);
        };
        Ok(resolve::taken(&row.event, &before.state))
    }

    /// Settles what follows from a command. If that fails, the command has succeeded all the same.
    async fn finish(
        mut self,
        event: Event,
        head: ChainHead,
        current: Option<Current<'a>>,
        unsettled: Option<StoreError>,
    ) -> CommandOutcome {
        let seq = head.state.next_seq - 1;
        let settled = match current {
            Some(current) => self.settle(current).await.map(|current| current.head()),
            None => self.bring_up(Some(head.clone())).await,
        };
        let (head, unsettled) = match settled {
            Ok(head) => (head, unsettled),
            Err(fault) => (head, Some(fault)),
        };
        CommandOutcome::Appended(Box::new(CommandReceipt {
            seq,
            event,
            head,
            report: self.report,
            unsettled,
        }))
    }

    /// A card that vouched for somebody else's trial vouches for no other; every other cause just
    /// has its row.
    async fn already_appended(
        self,
        event: &Event,
        claimed: ExistingClaim,
    ) -> Result<CommandOutcome, CommandError> {
        if matches!(event.change, Change::Grant(GrantChange::TrialStarted { .. }))
            && claimed.account != *self.occasion.account
        {
            return Err(Refusal::TrialUsed.into());
        }
        Ok(self.repeated(claimed).await)
    }

    /// A trigger is repeated because the first run died, perhaps before it settled what followed
    /// from its row.
    async fn repeated(mut self, claimed: ExistingClaim) -> CommandOutcome {
        // Nobody waits for it: if it fails, the next run settles.
        let _settled = self.bring_up(None).await;
        CommandOutcome::AlreadyAppended(claimed)
    }

    async fn bring_up(&mut self, known: Option<ChainHead>) -> Result<ChainHead, StoreError> {
        let current = self.read(known).await?;
        self.settle(current).await.map(|current| current.head())
    }

    /// Appends the rows that are due, until none is.
    async fn settle(&mut self, mut current: Current<'a>) -> Result<Current<'a>, StoreError> {
        for _ in 0..ROWS_MAX {
            let now = self.now(current.view.state());
            let Some(event) = next_row(&current.view, now, self.occasion.delivery)
                .map_err(StoreError::Unpriced)?
            else {
                break;
            };
            self.report.found += 1;
            let winner = match self.append(&current, &event).await? {
                Appended::Written(head) => {
                    self.report.appended += 1;
                    current.advance(&event, &head);
                    continue;
                }
                Appended::AlreadyThere(head) => {
                    self.report.already_there += 1;
                    current.advance(&event, &head);
                    continue;
                }
                Appended::Lost(winner) => winner,
                // What time asks for claims nothing.
                Appended::AlreadyAppended(_) | Appended::KeyReused(_) => None,
            };
            let winner = self.lost(winner).await?;
            current = self.read(winner).await?;
        }
        Ok(current)
    }

    async fn append(
        &mut self,
        current: &Current<'a>,
        event: &Event,
    ) -> Result<Appended, StoreError> {
        let Trigger { account, policy, .. } = self.occasion;
        let appended = self
            .store
            .append(account, &current.head(), event, current.view.billables(), policy)
            .await?;
        if matches!(appended, Appended::Written(_) | Appended::AlreadyThere(_)) {
            self.losses = Backoff::for_losses();
        }
        Ok(appended)
    }

    /// Head, then list, until they agree. The order matters: whatever the head's row wrote is in a
    /// list read later, unless its transaction is just becoming visible.
    async fn read(&mut self, known: Option<ChainHead>) -> Result<Current<'a>, StoreError> {
        let Trigger { account, prices, policy, .. } = self.occasion;
        let mut known = known;
        let mut backoff = Backoff::for_reads();
        loop {
            let ChainHead { state, digest } = self.head(known.take()).await?;
            let list = if state.is_open() {
                self.store.billables(account).await?
            } else {
                BillableList::default()
            };
            if let Some(view) = AccountSnapshot::new(account, state, list, prices, policy)
                .map_err(StoreError::Unpriced)?
            {
                return Ok(Current { view, digest });
            }
            backoff.pause().await.map_err(|_| StoreError::ListDisagrees)?;
        }
    }

    async fn head(&self, known: Option<ChainHead>) -> Result<ChainHead, StoreError> {
        match known {
            Some(head) => Ok(head),
            None => {
                Ok(self.store.head(self.occasion.account).await?.unwrap_or_else(ChainHead::none))
            }
        }
    }

    /// Another row was faster. The winner is taken for the head at first; who loses twice in a row
    /// meets many writers, and by now there is probably a newer one.
    async fn lost(&mut self, winner: Option<ChainHead>) -> Result<Option<ChainHead>, StoreError> {
        self.report.lost += 1;
        let attempts = self.losses.attempts();
        self.losses.pause().await.map_err(|_| StoreError::Contended { attempts })?;
        Ok(winner.filter(|_| attempts < 2))
    }

    /// The trigger's time, but never before the account's last row.
    fn now(&mut self, state: &AccountState) -> Timestamp {
        let behind_seconds = (state.at - self.occasion.now).max(0);
        self.report.clock_behind_seconds = self.report.clock_behind_seconds.max(behind_seconds);
        self.occasion.now.max(state.at)
    }
}
