//! A rolling deployment: functions of two releases, with different formats of rows, work on one
//! account at once. The formats are one and two above today's newest, so that these tests stand for
//! every later change of the format.

use tollgate::domain::account::AccountState;
use tollgate::domain::command::Command;
use tollgate::domain::event::{Cause, CreditKind};
use tollgate::domain::policy::Policy;
use tollgate::domain::row_format::RowFormat;
use tollgate::store::{CommandError, CommandOutcome, Plan, RowOrder, Store, StoreError, Trigger};
use tollgate_tests::ledger::{ALICE, Ledger, at, named, topup};

const OLD: RowFormat = RowFormat::READABLE;
const NEW: RowFormat = RowFormat::new(RowFormat::READABLE.number() + 1);

/// The store and rules of one release.
struct Release<'l> {
    ledger: &'l Ledger,
    store: Store,
    policy: Policy,
}

impl Release<'_> {
    fn new(ledger: &Ledger, readable: RowFormat, written: RowFormat) -> Release<'_> {
        let store = ledger.undisturbed.clone().reading_up_to(readable);
        Release { ledger, store, policy: Policy { row_format: written, ..Policy::default() } }
    }

    async fn credit(&self, payment: &str, now: &str) -> Result<CommandOutcome, CommandError> {
        let (account, payment) = (named(ALICE), topup(payment, "10"));
        let command = |_: &AccountState| {
            Ok(Command::Credit {
                payment: payment.clone(),
                kind: CreditKind::TopUp,
                plan: None,
                bonus: None,
                also: Vec::new(),
            })
        };
        let trigger = Trigger { policy: &self.policy, ..self.ledger.trigger(&account, at(now)) };
        self.store.execute(trigger, Cause::Stripe, Plan::on_state(&command)).await
    }
}

/// The formats of Alice's rows.
async fn formats(release: &Release<'_>) -> Vec<RowFormat> {
    let page = release.store.rows(&named(ALICE), 0..u64::MAX, RowOrder::OldestFirst, 100).await;
    page.unwrap().rows.iter().map(|row| row.format).collect()
}

#[tokio::test]
async fn a_release_that_reads_the_next_format_works_beside_the_old() {
    let ledger = Ledger::new().await;
    ledger.open(ALICE, "10:00:00").await;
    let before = Release::new(&ledger, OLD, OLD);
    let prepared = Release::new(&ledger, NEW, OLD);
    for (release, payment) in [(&before, "pi_1"), (&prepared, "pi_2"), (&before, "pi_3")] {
        release.credit(payment, "10:01:00").await.unwrap();
    }
    assert_eq!(formats(&before).await, [OLD; 4]);
    before.store.verify(&named(ALICE)).await.unwrap();
}

#[tokio::test]
async fn releases_that_write_and_read_the_next_format_work_together() {
    let ledger = Ledger::new().await;
    ledger.open(ALICE, "10:00:00").await;
    let prepared = Release::new(&ledger, NEW, OLD);
    let after = Release::new(&ledger, NEW, NEW);
    prepared.credit("pi_1", "10:01:00").await.unwrap();
    after.credit("pi_2", "10:01:00").await.unwrap();
    // It must not lose what the newer state says, so it writes the newer format from here on.
    prepared.credit("pi_3", "10:01:00").await.unwrap();
    assert_eq!(formats(&prepared).await, [OLD, OLD, NEW, NEW]);
    prepared.store.verify(&named(ALICE)).await.unwrap();
    assert!(matches!(
        prepared.credit("pi_2", "10:02:00").await.unwrap(),
        CommandOutcome::AlreadyAppended(claimed) if claimed.seq == 2
    ));
}

#[tokio::test]
async fn a_release_that_cannot_read_a_row_appends_nothing_after_it() {
    let ledger = Ledger::new().await;
    ledger.open(ALICE, "10:00:00").await;
    let before = Release::new(&ledger, OLD, OLD);
    let after = Release::new(&ledger, NEW, NEW);
    after.credit("pi_1", "10:01:00").await.unwrap();
    let newer = CommandError::Fault(StoreError::NewerFormat { seq: 1, found: NEW });
    assert_eq!(before.credit("pi_2", "10:02:00").await, Err(newer));
    assert_eq!(formats(&after).await, [OLD, NEW]);
}
