//! The one door to the ledger: read, let the domain decide, append, and begin again where another
//! writer was faster.

use std::fmt;

use super::backoff::Backoff;
use super::requests::KeyPlace;
use super::{
    Appended, CommandError, CommandOutcome, CommandReceipt, ExistingClaim, SettleReport,
    SettledAccount, Store, StoreError,
};
use crate::domain::account::AccountState;
use crate::domain::command::{Command, RefundTerms, TakenCredit};
use crate::domain::decide::decide;
use crate::domain::event::{
    Cause, Change, Event, GrantChange, KeyedRequest, PaymentChange, PaymentFacts, StaffRefund,
    TakeBack,
};
use crate::domain::ids::{AccountId, DisputeId, ResourceId};
use crate::domain::payment_records::RecordedTotals;
use crate::domain::policy::Policy;
use crate::domain::prices::PriceList;
use crate::domain::refusal::Refusal;
use crate::domain::resolve;
use crate::domain::resources::{BillableList, ResourceStatus};
use crate::domain::row::{ChainHead, Row, RowDigest};
use crate::domain::row_format::RowFormat;
use crate::domain::settle::metered::UnbilledList;
use crate::domain::settle::{ROWS_MAX, TriggerDelivery, next_due_row};
use crate::domain::snapshot::AccountSnapshot;
use crate::domain::timestamp::Timestamp;

/// On which account, by which rules, and when: what a trigger brings along.
#[derive(Clone, Copy, Debug)]
pub struct Trigger<'a> {
    pub account: &'a AccountId,
    pub prices: &'a PriceList,
    /// The rules in numbers.
    pub policy: &'a Policy,
    /// The trigger's own time (UTC).
    pub now: Timestamp,
    /// How long ago that may be.
    pub delivery: TriggerDelivery,
}

/// How a command follows from the account as it is. A plan is asked again whenever another row was
/// faster.
#[derive(Clone, Copy)]
pub struct Plan<'p>(PlanInput<'p>);

#[derive(Clone, Copy)]
enum PlanInput<'p> {
    State(StatePlan<'p>),
    Snapshot(SnapshotPlan<'p>),
}

/// A command that needs the state alone.
#[derive(Clone, Copy)]
enum StatePlan<'p> {
    Command(&'p (dyn Fn(&AccountState) -> Result<Command, Refusal> + Sync)),
    TakeBack { by: &'p TakeBack, of: &'p PaymentFacts, cents: TakenPart },
    GiveBack { by: &'p TakeBack, of: &'p PaymentFacts, cents: i64 },
    BeginRefund { of: &'p PaymentFacts, terms: &'p RefundTerms },
    UndoRefund { refund: &'p StaffRefund, of: &'p PaymentFacts },
}

/// How much of a payment is taken back, in cents, tax included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenPart {
    /// So much, whatever was taken before.
    Cents(i64),
    /// So much, and at most what is left of the payment.
    AtMostLeft(i64),
}

/// A command that needs the list of resources.
#[derive(Clone, Copy)]
enum SnapshotPlan<'p> {
    Command(&'p (dyn Fn(&AccountSnapshot<'_>) -> Result<Command, Refusal> + Sync)),
    FailStart(&'p ResourceId),
}

impl<'p> Plan<'p> {
    /// A command that needs the state alone. Neither a list that disagrees nor a SKU without a
    /// price stands in its way: its row is recorded even if the account cannot be settled.
    pub fn on_state(
        command: &'p (impl Fn(&AccountState) -> Result<Command, Refusal> + Sync),
    ) -> Plan<'p> {
        Plan(PlanInput::State(StatePlan::Command(command)))
    }

    /// A command that needs the list of resources. The account is settled before it.
    pub fn on_snapshot(
        command: &'p (impl Fn(&AccountSnapshot<'_>) -> Result<Command, Refusal> + Sync),
    ) -> Plan<'p> {
        Plan(PlanInput::Snapshot(SnapshotPlan::Command(command)))
    }

    /// The platform could not carry out a start: everything that the start was charged is given
    /// back.
    #[must_use]
    pub fn fail_start(resource: &'p ResourceId) -> Plan<'p> {
        Plan(PlanInput::Snapshot(SnapshotPlan::FailStart(resource)))
    }

    /// A refund or dispute takes money, and its share of the payment's credit.
    #[must_use]
    pub fn take_back(by: &'p TakeBack, of: &'p PaymentFacts, cents: TakenPart) -> Plan<'p> {
        Plan(PlanInput::State(StatePlan::TakeBack { by, of, cents }))
    }

    /// A refund failed or a dispute was won: exactly what its row had taken is given back, if it
    /// has one. `cents` are of the payment, tax included.
    #[must_use]
    pub fn give_back(by: &'p TakeBack, of: &'p PaymentFacts, cents: i64) -> Plan<'p> {
        Plan(PlanInput::State(StatePlan::GiveBack { by, of, cents }))
    }

    /// Staff refund a payment: its credit is taken before Stripe is asked.
    #[must_use]
    pub fn begin_refund(of: &'p PaymentFacts, terms: &'p RefundTerms) -> Plan<'p> {
        Plan(PlanInput::State(StatePlan::BeginRefund { of, terms }))
    }

    /// Stripe refused a refund by staff, with this reason: exactly what its row had taken is given
    /// back.
    #[must_use]
    pub fn undo_refund(refund: &'p StaffRefund, of: &'p PaymentFacts) -> Plan<'p> {
        Plan(PlanInput::State(StatePlan::UndoRefund { refund, of }))
    }
}

impl fmt::Debug for Plan<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.0 {
            PlanInput::State(_) => "Plan::on_state",
            PlanInput::Snapshot(_) => "Plan::on_snapshot",
        })
    }
}

impl StatePlan<'_> {
    /// Whether the account is settled before its command. What is refused as the account stands may
    /// be possible once it is settled.
    fn settles_first(self, state: &AccountState) -> bool {
        match self {
            StatePlan::Command(command) => {
                command(state).map_or(true, |command| command.settles_first())
            }
            StatePlan::TakeBack { .. } | StatePlan::BeginRefund { .. } => true,
            StatePlan::GiveBack { .. } | StatePlan::UndoRefund { .. } => false,
        }
    }

    /// Whether it depends on credit that time may have spent. Then an account that cannot be settled
    /// is not changed. What Stripe confirmed is recorded all the same.
    fn needs_the_balance(self) -> bool {
        match self {
            StatePlan::BeginRefund { terms, .. } => !terms.may_leave_debt,
            StatePlan::Command(_)
            | StatePlan::TakeBack { .. }
            | StatePlan::GiveBack { .. }
            | StatePlan::UndoRefund { .. } => false,
        }
    }
}

impl Store {
    /// An account as it stands, without settling it: head and list, read until they agree.
    ///
    /// # Errors
    /// [`StoreError`]; among them [`StoreError::Unpriced`] and [`StoreError::ListDisagrees`].
    pub async fn snapshot<'a>(
        &self,
        account: &'a AccountId,
        prices: &'a PriceList,
        policy: &'a Policy,
    ) -> Result<AccountSnapshot<'a>, StoreError> {
        Ok(self.head_and_list(account, prices, policy, None).await?.view)
    }

    /// Head, then list, until they agree. The order matters: whatever the head's row wrote is in a
    /// list read later, unless its transaction is just becoming visible. A head that is `known` is
    /// not read the first time.
    async fn head_and_list<'a>(
        &self,
        account: &'a AccountId,
        prices: &'a PriceList,
        policy: &'a Policy,
        known: Option<ChainHead>,
    ) -> Result<Current<'a>, StoreError> {
        let mut known = known;
        let mut backoff = Backoff::for_reads();
        loop {
            let ChainHead { state, digest, format } =
                self.head_or_none(account, known.take()).await?;
            let list = match (state.is_open(), state.meters) {
                (false, _) => BillableList::default(),
                (true, 0) => self.billables(account).await?,
                (true, _) => {
                    let usage = self.hourly_usage(account, state.metered_at);
                    let (list, usage) = tokio::join!(self.billables(account), usage);
                    BillableList { usage: usage?, ..list? }
                }
            };
            if let Some(view) = AccountSnapshot::new(account, state, list, prices, policy)
                .map_err(StoreError::Unpriced)?
            {
                return Ok(Current { view, digest, format });
            }
            backoff.pause().await.map_err(|_| StoreError::ListDisagrees)?;
        }
    }

    async fn head_or_none(
        &self,
        account: &AccountId,
        known: Option<ChainHead>,
    ) -> Result<ChainHead, StoreError> {
        match known {
            Some(head) => Ok(head),
            None => Ok(self.head(account).await?.unwrap_or_else(ChainHead::none)),
        }
    }

    /// Brings an account up to now: appends the rows that are due, one by one. Does nothing to an
    /// account that is not open.
    ///
    /// Two reads, if nothing is due; one write more for each row.
    ///
    /// # Errors
    /// [`StoreError`]; among them [`StoreError::Unpriced`].
    pub async fn settle(&self, trigger: Trigger<'_>) -> Result<SettleReport, StoreError> {
        self.settled(trigger).await.map(|settled| settled.report)
    }

    /// The same, with the account as it is then.
    ///
    /// # Errors
    /// As [`Store::settle`].
    pub async fn settled<'a>(
        &self,
        trigger: Trigger<'a>,
    ) -> Result<SettledAccount<'a>, StoreError> {
        let mut driver = Driver::new(self, trigger);
        let current = driver.read(None).await?;
        let current = Box::pin(driver.settle(current)).await?;
        let usage_skipped = UnbilledList::of(&current.view, trigger.now).skipped();
        let report = SettleReport { usage_skipped, ..driver.report };
        Ok(SettledAccount { view: current.view, report })
    }

    /// The one door to the ledger: carries out the command that follows from `plan`, then settles
    /// what follows from its row.
    ///
    /// The command says whether the account is settled first ([`Command::settles_first`]). A cause
    /// that has its row already is a normal outcome, also if the slower of two equal requests was
    /// refused because the faster one had done what both asked for.
    ///
    /// The first command of an account is [`Command::Open`].
    ///
    /// # Errors
    /// [`CommandError::Refused`]: nothing was written for the command. [`CommandError::Fault`]:
    /// after [`StoreError::Unavailable`] the row may have been written.
    pub async fn execute(
        &self,
        trigger: Trigger<'_>,
        cause: Cause,
        plan: Plan<'_>,
    ) -> Result<CommandOutcome, CommandError> {
        let driver = Driver::new(self, trigger);
        // Boxed: these futures hold a whole account, and those of callers would hold them inline.
        let done = match plan.0 {
            PlanInput::State(plan) => Box::pin(driver.execute_on_state(cause.clone(), plan)).await,
            PlanInput::Snapshot(plan) => {
                Box::pin(driver.execute_on_snapshot(cause.clone(), plan)).await
            }
        };
        match done {
            Err(CommandError::Refused(refusal)) => {
                self.unless_answered(trigger, &cause, refusal).await
            }
            done => done,
        }
    }

    /// What a dispute holds by rows of formats before 3. `None` if it holds nothing, or if newer
    /// rows moved its money.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn taken_by_older_rows(
        &self,
        dispute: &DisputeId,
    ) -> Result<Option<TakenCredit>, StoreError> {
        for ended in ["moved", "reversal"] {
            if self.claim(&format!("stripe#{dispute}#{ended}")).await?.is_some() {
                return Ok(None);
            }
        }
        self.taken(&TakeBack::Dispute(dispute.clone())).await
    }

    /// What was taken for a refund or dispute that Stripe knows.
    async fn taken(&self, by: &TakeBack) -> Result<Option<TakenCredit>, StoreError> {
        let Some(key) = by.claim_key("debit") else { return Ok(None) };
        let Some(ExistingClaim { account, seq, .. }) = self.claim(&key).await? else {
            return Ok(None);
        };
        let [before, row] = &*self.row_and_the_one_before(&account, seq).await? else {
            return Ok(None);
        };
        if let Change::Payment(PaymentChange::RefundSent { number, .. }) = row.event.change {
            return self.taken_by_staff(&account, number).await;
        }
        Ok(resolve::taken(&row.event, &before.state))
    }

    /// What the row with this number took for a refund by staff.
    async fn taken_by_staff(
        &self,
        account: &AccountId,
        number: u64,
    ) -> Result<Option<TakenCredit>, StoreError> {
        let [before, row] = &*self.row_and_the_one_before(account, number).await? else {
            return Ok(None);
        };
        Ok(resolve::taken(&row.event, &before.state))
    }

    async fn row_and_the_one_before(
        &self,
        account: &AccountId,
        seq: u64,
    ) -> Result<Vec<Row>, StoreError> {
        self.all_rows_with_lines(account, seq.saturating_sub(1)..seq + 1).await
    }

    /// Of two equal requests at once, the slower one may find that what it asks for is done, and be
    /// refused. It was done by the same request: that is its answer. So is the row of a request that
    /// has its key in the other place.
    async fn unless_answered(
        &self,
        trigger: Trigger<'_>,
        cause: &Cause,
        refusal: Refusal,
    ) -> Result<CommandOutcome, CommandError> {
        let Some(KeyedRequest { key, digest }) = cause.request() else {
            return Err(refusal.into());
        };
        match self.answering_row(trigger.account, key, trigger.now).await? {
            Some(known) if known.digest.as_ref() == Some(digest) => {
                Ok(CommandOutcome::AlreadyAppended(known))
            }
            Some(_) => Err(Refusal::KeyReused.into()),
            None => Err(refusal.into()),
        }
    }
}

/// An account as it was read, or became by our own rows: state and list agree.
#[derive(Debug)]
struct Current<'a> {
    view: AccountSnapshot<'a>,
    digest: RowDigest,
    format: RowFormat,
}

impl Current<'_> {
    fn head(&self) -> ChainHead {
        ChainHead {
            state: self.view.state().clone(),
            digest: self.digest.clone(),
            format: self.format,
        }
    }

    fn advance(&mut self, event: &Event, head: &ChainHead) {
        self.view.apply(event);
        self.digest = head.digest.clone();
        self.format = head.format;
    }
}

/// One run on one account.
struct Driver<'s, 'a> {
    store: &'s Store,
    trigger: Trigger<'a>,
    report: SettleReport,
    /// Begins anew with every row of ours.
    losses: Backoff,
}

impl<'s, 'a> Driver<'s, 'a> {
    fn new(store: &'s Store, trigger: Trigger<'a>) -> Driver<'s, 'a> {
        Driver { store, trigger, report: SettleReport::default(), losses: Backoff::for_losses() }
    }

    async fn execute_on_snapshot(
        mut self,
        cause: Cause,
        plan: SnapshotPlan<'_>,
    ) -> Result<CommandOutcome, CommandError> {
        let head = self.head(None).await?;
        if let Some(claimed) = self.answered_before(&cause, &head).await? {
            return Ok(self.repeated(claimed, Some(head)).await);
        }
        let mut current = self.read(Some(head)).await?;
        loop {
            current = self.settle(current).await?;
            let command = self.resolve_on_snapshot(plan, &current.view).await?;
            let now = self.now(current.view.state());
            let event =
                decide(current.view.state(), &command, cause.clone(), self.trigger.policy, now)?;
            match self.append(&current, &event).await? {
                Appended::Written(head) | Appended::AlreadyThere(head) => {
                    let previous = current.digest.clone();
                    current.advance(&event, &head);
                    let row = Row::appended(event, head, previous);
                    return Ok(self.finish(row, Some(current), None).await);
                }
                Appended::AlreadyAppended(claimed) => {
                    return self.already_appended(&event, claimed).await;
                }
                Appended::KeyReused(_) => return Err(Refusal::KeyReused.into()),
                Appended::IdTaken(resource) => {
                    return Err(Refusal::ResourceExists { resource }.into());
                }
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
        plan: StatePlan<'_>,
    ) -> Result<CommandOutcome, CommandError> {
        let (store, Trigger { account, policy, .. }) = (self.store, self.trigger);
        let first = self.head(None).await?;
        if let Some(claimed) = self.answered_before(&cause, &first).await? {
            return Ok(self.repeated(claimed, Some(first)).await);
        }
        let (mut known, mut taken, mut unsettled) = (Some(first), None, None);
        // The account with its list, once it is settled, until another row is faster.
        let mut current = None;
        if let Some(head) = known.take_if(|head| plan.settles_first(&head.state)) {
            match self.read_and_settle(Some(head)).await {
                Ok(settled) => current = Some(settled),
                Err(fault) if plan.needs_the_balance() => return Err(fault.into()),
                Err(fault) => unsettled = Some(fault),
            }
        }
        loop {
            let head = match &current {
                Some(current) => current.head(),
                None => self.head(known).await?,
            };
            let command = self.resolve_on_state(plan, &head.state, &mut taken).await?;
            let event =
                decide(&head.state, &command, cause.clone(), policy, self.now(&head.state))?;
            match store.append(account, &head, &event, &BillableList::default(), policy).await? {
                Appended::Written(after) | Appended::AlreadyThere(after) => {
                    if let Some(current) = &mut current {
                        current.advance(&event, &after);
                    }
                    let row = Row::appended(event, after, head.digest);
                    return Ok(self.finish(row, current, unsettled).await);
                }
                Appended::AlreadyAppended(claimed) => {
                    if !self.is_taken_after_all(&event, &claimed).await? {
                        return self.already_appended(&event, claimed).await;
                    }
                    (known, current) = (self.lost(None).await?, None);
                }
                Appended::KeyReused(_) => return Err(Refusal::KeyReused.into()),
                Appended::IdTaken(resource) => {
                    return Err(Refusal::ResourceExists { resource }.into());
                }
                Appended::Lost(winner) => (known, current) = (self.lost(winner).await?, None),
            }
        }
    }

    /// Whether a row that gives nothing back, because nothing was taken, found that it was: that
    /// row was just becoming visible. Then it is decided again.
    async fn is_taken_after_all(
        &self,
        event: &Event,
        claimed: &ExistingClaim,
    ) -> Result<bool, StoreError> {
        let Change::Payment(PaymentChange::GivenBack { by, known: false, .. }) = &event.change
        else {
            return Ok(false);
        };
        let Some(reversal) = by.claim_key("reversal") else { return Ok(false) };
        Ok(claimed.key != reversal && self.store.claim(&reversal).await?.is_none())
    }

    /// Whether a request was answered before. One read, of the place where the next row would have
    /// the key. A key in the other place is found by the transaction of that row, or before it is
    /// refused.
    async fn answered_before(
        &mut self,
        cause: &Cause,
        head: &ChainHead,
    ) -> Result<Option<ExistingClaim>, CommandError> {
        let Some(KeyedRequest { key, digest }) = cause.request() else { return Ok(None) };
        let Trigger { account, policy, .. } = self.trigger;
        let now = self.now(&head.state);
        let place = KeyPlace::of(head.format.max(policy.row_format));
        match self.store.known_key(place, account, key, now).await? {
            Some(claimed) if claimed.digest.as_ref() == Some(digest) => Ok(Some(claimed)),
            Some(_) => Err(Refusal::KeyReused.into()),
            None => Ok(None),
        }
    }

    async fn resolve_on_snapshot(
        &self,
        plan: SnapshotPlan<'_>,
        view: &AccountSnapshot<'_>,
    ) -> Result<Command, CommandError> {
        let id = match plan {
            SnapshotPlan::Command(command) => return Ok(command(view)?),
            SnapshotPlan::FailStart(id) => id,
        };
        let state = view.state();
        let since = match view.billables().resources.get(id) {
            Some(resource) if resource.status == ResourceStatus::Running => resource.seq,
            // It ended since its start, which is a row of the time in which a start may fail.
            Some(_) => {
                let now = self.trigger.now.max(state.at);
                let from = now.plus(-self.trigger.policy.start_failure_seconds);
                self.store.numbers_between(self.trigger.account, from, state.at).await?.start
            }
            None => state.next_seq,
        };
        let rows =
            self.store.all_rows_with_lines(self.trigger.account, since..state.next_seq).await?;
        Ok(resolve::fail_start(view, id, rows.iter().map(|row| (&row.event, &row.state)))?)
    }

    async fn resolve_on_state(
        &self,
        plan: StatePlan<'_>,
        state: &AccountState,
        taken: &mut Option<TakenCredit>,
    ) -> Result<Command, CommandError> {
        match plan {
            StatePlan::Command(command) => Ok(command(state)?),
            StatePlan::TakeBack { by, of, cents } => {
                let before = self.recorded_totals(state, of).await?;
                let taken = before.taken.unwrap_or_default();
                let cents = match cents {
                    TakenPart::Cents(cents) => cents,
                    TakenPart::AtMostLeft(cents) => cents.min(of.received_cents - taken.cents),
                };
                Ok(Command::TakeBack { by: by.clone(), of: of.clone(), cents, before })
            }
            StatePlan::GiveBack { by, of, cents } => {
                // What was taken never changes. If nothing was, this is read after the head and
                // again for every head: a row that takes it now comes after our head, and the
                // append is lost.
                if taken.is_none() {
                    *taken = self.store.taken(by).await?;
                }
                let before = self.recorded_totals(state, of).await?;
                let (by, of, taken) = (by.clone(), of.clone(), taken.clone());
                Ok(Command::GiveBack { by, of, cents, taken, before })
            }
            StatePlan::BeginRefund { of, terms } => {
                let before = self.recorded_totals(state, of).await?;
                Ok(Command::BeginRefund { of: of.clone(), terms: terms.clone(), before })
            }
            StatePlan::UndoRefund { refund, of } => {
                let number = refund.number;
                if taken.is_none() {
                    *taken = self.store.taken_by_staff(self.trigger.account, number).await?;
                }
                let taken = taken.clone().ok_or(Refusal::RefundNotOpen { number })?;
                let before = self.recorded_totals(state, of).await?;
                Ok(Command::UndoRefund { refund: refund.clone(), of: of.clone(), taken, before })
            }
        }
    }

    /// Read after the head, like everything that a row follows from.
    async fn recorded_totals(
        &self,
        state: &AccountState,
        of: &PaymentFacts,
    ) -> Result<RecordedTotals, StoreError> {
        let records = self.store.payment_records(self.trigger.account, &of.payment).await?;
        Ok(records.totals(state, &of.payment))
    }

    /// Settles what follows from a command. If that fails, the command has succeeded all the same.
    async fn finish(
        mut self,
        row: Row,
        current: Option<Current<'a>>,
        unsettled: Option<StoreError>,
    ) -> CommandOutcome {
        let head = ChainHead::from(row.clone());
        let settled = match current {
            Some(current) => self.settle(current).await.map(|current| current.head()),
            None => self.settle_from(Some(head.clone())).await,
        };
        let (head, unsettled) = match settled {
            Ok(head) => (head, unsettled),
            Err(fault) => (head, Some(fault)),
        };
        CommandOutcome::Appended(Box::new(CommandReceipt {
            row,
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
            && claimed.account != *self.trigger.account
        {
            return Err(Refusal::TrialCardUsed.into());
        }
        Ok(self.repeated(claimed, None).await)
    }

    /// A trigger is repeated because the first run died, perhaps before it settled what followed
    /// from its row.
    async fn repeated(
        mut self,
        claimed: ExistingClaim,
        known: Option<ChainHead>,
    ) -> CommandOutcome {
        // Nobody waits for it: if it fails, the next run settles.
        let _settled = self.settle_from(known).await;
        CommandOutcome::AlreadyAppended(claimed)
    }

    async fn settle_from(&mut self, known: Option<ChainHead>) -> Result<ChainHead, StoreError> {
        self.read_and_settle(known).await.map(|current| current.head())
    }

    async fn read_and_settle(
        &mut self,
        known: Option<ChainHead>,
    ) -> Result<Current<'a>, StoreError> {
        let current = self.read(known).await?;
        self.settle(current).await
    }

    /// Appends the rows that are due, until none is.
    async fn settle(&mut self, mut current: Current<'a>) -> Result<Current<'a>, StoreError> {
        for _ in 0..ROWS_MAX {
            let now = self.now(current.view.state());
            let Some(event) = next_due_row(&current.view, now, self.trigger.delivery)
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
                // Of what time asks for, only the expiry of a hold claims something: its end. Somebody
                // else has written that.
                Appended::AlreadyAppended(_) | Appended::KeyReused(_) | Appended::IdTaken(_) => {
                    None
                }
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
        let Trigger { account, policy, .. } = self.trigger;
        let appended = self
            .store
            .append(account, &current.head(), event, current.view.billables(), policy)
            .await?;
        if matches!(appended, Appended::Written(_) | Appended::AlreadyThere(_)) {
            self.losses = Backoff::for_losses();
        }
        Ok(appended)
    }

    async fn read(&self, known: Option<ChainHead>) -> Result<Current<'a>, StoreError> {
        let Trigger { account, prices, policy, .. } = self.trigger;
        self.store.head_and_list(account, prices, policy, known).await
    }

    async fn head(&self, known: Option<ChainHead>) -> Result<ChainHead, StoreError> {
        self.store.head_or_none(self.trigger.account, known).await
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
        let behind_seconds = (state.at - self.trigger.now).max(0);
        self.report.clock_behind_seconds = self.report.clock_behind_seconds.max(behind_seconds);
        self.trigger.now.max(state.at)
    }
}
