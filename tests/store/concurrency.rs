//! 64 tasks, 100 commands each, on 1, 4 and 10 accounts at once: nothing is lost, and nothing
//! happens twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use tollgate::domain::account::{AccountState, CardChoice, TaxMode};
use tollgate::domain::command::{BonusGrant, Command, RefillSettings, RefillTerms};
use tollgate::domain::event::{Cause, CreditKind, PaymentFacts, RefillDecline, TakeBack};
use tollgate::domain::ids::{AccountId, ResourceId};
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resolve::{delete, restore, start, start_new, stop};
use tollgate::domain::row::Row;
use tollgate::domain::snapshot::AccountSnapshot;
use tollgate::domain::timestamp::{HOUR, Timestamp};
use tollgate::store::{CommandError, CommandOutcome, Plan, TakenPart, Trigger};
use tollgate_tests::faults::Operation;
use tollgate_tests::invariants::check;
use tollgate_tests::ledger::{Ledger, at, named, new_resources, project, topup};

const TASKS: u32 = 64;
const COMMANDS: u32 = 100;

/// The state shared by all tasks.
struct SharedLedger {
    ledger: Ledger,
    accounts: Vec<AccountId>,
    /// Seconds since 1970. Every command advances it, so that 6,400 of them take a day and a half.
    clock: AtomicI64,
    retries: AtomicU32,
}

/// The actions of a task, and their results.
struct Task {
    world: Arc<SharedLedger>,
    number: u32,
    random: fastrand::Rng,
    payments: Vec<(AccountId, PaymentFacts)>,
    refunds: Vec<(AccountId, PaymentFacts, TakeBack)>,
    receipts: Vec<(AccountId, Row)>,
    refusals: BTreeMap<String, u32>,
    replays: u32,
}

impl SharedLedger {
    async fn new(accounts: usize) -> Arc<SharedLedger> {
        let ledger = Ledger::new().await;
        let accounts: Vec<AccountId> =
            (0..accounts).map(|number| named(&format!("account-{number}"))).collect();
        for account in &accounts {
            ledger.open(account.as_str(), "00:00:00").await;
        }
        let clock = AtomicI64::new(at("00:00:00").seconds());
        Arc::new(SharedLedger { ledger, accounts, clock, retries: AtomicU32::new(0) })
    }

    fn trigger<'a>(&'a self, account: &'a AccountId, now: Timestamp) -> Trigger<'a> {
        self.ledger.trigger(account, now)
    }
}

impl Task {
    fn new(world: Arc<SharedLedger>, number: u32) -> Task {
        Task {
            world,
            number,
            random: fastrand::Rng::with_seed(u64::from(number)),
            payments: Vec::new(),
            refunds: Vec::new(),
            receipts: Vec::new(),
            refusals: BTreeMap::new(),
            replays: 0,
        }
    }

    async fn run(mut self) -> Task {
        for n in 0..COMMANDS {
            let account =
                self.world.accounts[self.random.usize(..self.world.accounts.len())].clone();
            let seconds = self.world.clock.fetch_add(self.random.i64(0..40), Ordering::Relaxed);
            // Triggers arrive slightly out of order.
            let now = Timestamp::from_seconds(seconds - self.random.i64(0..20)).unwrap();
            self.one(&account, n, now).await;
        }
        self
    }

    async fn one(&mut self, account: &AccountId, n: u32, now: Timestamp) {
        let id = format!("{}-{n}", self.number);
        match self.random.u32(0..100) {
            0..15 => self.credit(account, &id, now).await,
            15..18 => self.credit_again(now).await,
            18..42 => self.start(account, now).await,
            42..56 => self.stop(account, now).await,
            56..60 => self.delete(account, now).await,
            60..78 => self.settle(account, now).await,
            78..83 => self.grant(account, &id, now).await,
            83..86 => self.refund(&id, now).await,
            86..88 => self.give_back(now).await,
            88..90 => self.agree(account, now).await,
            _ => self.refill(account, &id, now).await,
        }
    }

    async fn credit(&mut self, account: &AccountId, id: &str, now: Timestamp) {
        let payment = topup(&format!("pi_{id}"), &self.random.u32(1..6).to_string());
        self.payments.push((account.clone(), payment.clone()));
        self.on_state(account, now, |_| credit(&payment, CreditKind::TopUp)).await;
    }

    async fn credit_again(&mut self, now: Timestamp) {
        let Some((account, payment)) = self.random.choice(&self.payments).cloned() else { return };
        self.on_state(&account, now, |_| credit(&payment, CreditKind::TopUp)).await;
    }

    /// Tasks share their resources: one task starts a resource, another stops it.
    fn resource(&mut self) -> String {
        format!("r-{}", self.random.u32(0..12))
    }

    async fn start(&mut self, account: &AccountId, now: Timestamp) {
        let id = self.resource();
        let (sku, ids) =
            (["vm", "big", "web", "volume"][self.random.usize(..4)], [named::<ResourceId>(&id)]);
        let (project, new) = (project(account), new_resources(sku, &[&id]));
        self.on_view(account, now, |view| match start(view, &ids, now) {
            Err(Refusal::UnknownResource { .. }) => start_new(view, &project, &new, now),
            Err(Refusal::Deleted { .. }) => restore(view, &ids, now),
            other => other,
        })
        .await;
    }

    async fn stop(&mut self, account: &AccountId, now: Timestamp) {
        let ids = [named(&self.resource())];
        self.on_view(account, now, |view| stop(view, &ids)).await;
    }

    async fn delete(&mut self, account: &AccountId, now: Timestamp) {
        let ids = [named(&self.resource())];
        self.on_view(account, now, |view| delete(view, &ids)).await;
    }

    async fn settle(&mut self, account: &AccountId, now: Timestamp) {
        self.world.ledger.store.settle(self.world.trigger(account, now)).await.unwrap();
    }

    async fn grant(&mut self, account: &AccountId, id: &str, now: Timestamp) {
        let expires_at = now.plus(self.random.i64(600..6 * HOUR));
        let bonus = BonusGrant { amount: named("2"), expires_at, excludes: [named("big")].into() };
        self.on_view(account, now, |_| {
            Ok(Command::Grant { bonus: bonus.clone(), reason: id.to_owned() })
        })
        .await;
    }

    async fn refund(&mut self, id: &str, now: Timestamp) {
        let Some((account, of)) = self.payments.pop() else { return };
        let by = TakeBack::Refund(named(&format!("re_{id}")));
        self.refunds.push((account.clone(), of.clone(), by.clone()));
        let take = Plan::take_back(&by, &of, TakenPart::Cents(100));
        self.carry_out(&account, now, take).await;
    }

    async fn give_back(&mut self, now: Timestamp) {
        let Some((account, of, by)) = self.random.choice(&self.refunds).cloned() else { return };
        self.carry_out(&account, now, Plan::give_back(&by, &of, 100)).await;
    }

    async fn agree(&mut self, account: &AccountId, now: Timestamp) {
        let terms = Some(RefillTerms::multiple(named("3"), named("10")));
        let settings = RefillSettings {
            terms,
            card: Some(named("pm_1")),
            card_choice: CardChoice::Named,
            monthly_cap: None,
            ..RefillSettings::default()
        };
        self.on_view(account, now, |_| Ok(Command::ChangeRefill(settings.clone()))).await;
    }

    /// The next step of any wanted or open refill.
    async fn refill(&mut self, account: &AccountId, id: &str, now: Timestamp) {
        let head = self.world.ledger.store.head(account).await.unwrap().unwrap();
        let Some(attempt) = head.state.refill.attempt else {
            let begin = |_: &AccountSnapshot<'_>| {
                Ok(Command::BeginRefill { customer: named("cus_1"), tax: TaxMode::Off })
            };
            self.on_view(account, now, begin).await;
            return;
        };
        let (number, purpose) = (attempt.number, attempt.purpose);
        if self.random.u32(0..4) == 0 {
            let fail = Command::FailRefill {
                attempt: number,
                decline: RefillDecline::Later,
                code: id.to_owned(),
                reason: None,
            };
            self.on_view(account, now, |_| Ok(fail.clone())).await;
        } else {
            // Other tasks that run the same attempt have the same payment.
            let payment = topup(&format!("pi_refill-{account}-{number}"), "10");
            let kind = CreditKind::Refill { attempt: number, purpose };
            self.on_state(account, now, |_| credit(&payment, kind)).await;
        }
    }

    async fn on_view(
        &mut self,
        account: &AccountId,
        now: Timestamp,
        command: impl Fn(&AccountSnapshot<'_>) -> Result<Command, Refusal> + Sync,
    ) {
        let world = Arc::clone(&self.world);
        let done = loop {
            let done = world
                .ledger
                .store
                .execute(world.trigger(account, now), Cause::Command, Plan::on_snapshot(&command))
                .await;
            if !world.is_to_retry(&done) {
                break done;
            }
        };
        self.note(account, done);
    }

    async fn on_state(
        &mut self,
        account: &AccountId,
        now: Timestamp,
        command: impl Fn(&AccountState) -> Result<Command, Refusal> + Sync,
    ) {
        self.carry_out(account, now, Plan::on_state(&command)).await;
    }

    async fn carry_out(&mut self, account: &AccountId, now: Timestamp, plan: Plan<'_>) {
        let (world, cause) = (Arc::clone(&self.world), Cause::Stripe);
        let done = loop {
            let trigger = world.trigger(account, now);
            let done = world.ledger.store.execute(trigger, cause.clone(), plan).await;
            if !world.is_to_retry(&done) {
                break done;
            }
        };
        self.note(account, done);
    }

    fn note(&mut self, account: &AccountId, done: Result<CommandOutcome, CommandError>) {
        match done {
            Ok(CommandOutcome::Appended(receipt)) => {
                self.receipts.push((account.clone(), receipt.row));
            }
            Ok(CommandOutcome::AlreadyAppended(_)) => self.replays += 1,
            Err(CommandError::Refused(refusal)) => {
                let name = format!("{refusal:?}").split([' ', '{']).next().unwrap().to_owned();
                *self.refusals.entry(name).or_default() += 1;
            }
            Err(CommandError::Fault(fault)) => panic!("{account}: {fault}"),
        }
    }
}

impl SharedLedger {
    fn is_to_retry(&self, done: &Result<CommandOutcome, CommandError>) -> bool {
        let is = matches!(done, Err(CommandError::Fault(fault)) if fault.may_retry());
        if is {
            self.retries.fetch_add(1, Ordering::Relaxed);
        }
        is
    }
}

fn credit(payment: &PaymentFacts, kind: CreditKind) -> Result<Command, Refusal> {
    Ok(Command::Credit {
        payment: payment.clone(),
        kind,
        plan: None,
        bonus: None,
        also: Vec::new(),
    })
}

async fn run(accounts: usize) {
    let world = SharedLedger::new(accounts).await;
    let started = std::time::Instant::now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|number| tokio::spawn(Task::new(Arc::clone(&world), number).run()))
        .collect();
    let (mut receipts, mut refusals, mut replays) = (Vec::new(), BTreeMap::<String, u32>::new(), 0);
    for task in tasks {
        let task = task.await.unwrap();
        receipts.extend(task.receipts);
        replays += task.replays;
        task.refusals
            .into_iter()
            .for_each(|(name, count)| *refusals.entry(name).or_default() += count);
    }
    println!("commands: {:?}", started.elapsed());
    let end = world.clock.load(Ordering::Relaxed);
    let mut rows = 0;
    for account in &world.accounts {
        let now = Timestamp::from_seconds(end).unwrap();
        world.ledger.store.settle(world.trigger(account, now)).await.unwrap();
        rows += check_account(&world.ledger, account, &receipts).await;
    }
    for operation in
        [Operation::Query, Operation::GetItem, Operation::PutItem, Operation::TransactWriteItems]
    {
        println!("{operation:?}: {}", world.ledger.faults.count(&operation));
    }
    println!(
        "{accounts} accounts: {rows} rows, {} commands, {replays} replays, {} retries, refused {refusals:?}",
        receipts.len(),
        world.retries.load(Ordering::Relaxed)
    );
    assert!(receipts.len() > 1_000 && replays > 50, "most of it happened");
}

/// Every successful answer is in the chain once, and all other rows come from settling.
async fn check_account(
    ledger: &Ledger,
    account: &AccountId,
    receipts: &[(AccountId, Row)],
) -> usize {
    let checked = check(ledger, account.as_str()).await;
    let mut answered: BTreeMap<u64, &Row> = BTreeMap::new();
    for (_, row) in receipts.iter().filter(|(owner, _)| owner == account) {
        let seq = row.seq;
        assert_eq!(answered.insert(seq, row), None, "{account}: row {seq} was two answers");
    }
    for row in &checked.rows {
        match answered.remove(&row.seq) {
            Some(answer) => {
                let answer = answer.clone();
                let stored = Row { event: answer.event.without_names(), ..answer };
                assert_eq!(*row, stored, "{account}: row {}", row.seq);
            }
            None => assert!(
                row.seq == 0 || row.event.cause == Cause::Time,
                "{account}: nobody asked for {row:?}"
            ),
        }
    }
    assert_eq!(answered, BTreeMap::new(), "{account}: these were answered and are not there");
    checked.rows.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_tasks_on_one_account_lose_nothing() {
    run(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_tasks_on_four_accounts_lose_nothing() {
    run(4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_tasks_on_ten_accounts_lose_nothing() {
    run(10).await;
}
