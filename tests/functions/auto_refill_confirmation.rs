//! Attempts that wait for their customer's confirmation, and attempts that are called off because
//! the customer no longer needs or agrees to them.

use crate::auto_refill_support::{declined, execute, paying_by_hand, with_open_attempt};
use serde_json::Value;
use tollgate::domain::account::{AccountState, CardChoice};
use tollgate::domain::command::{Command, RefillSettings, RefillTerms};
use tollgate::domain::event::{Change, RefillChange, RefillDecline};
use tollgate::domain::refusal::Refusal;
use tollgate::domain::row::Row;
use tollgate::domain::settle::due::refill_needs_driving;
use tollgate::domain::timestamp::{HOUR, MINUTE};
use tollgate_tests::ledger::named;
use tollgate_tests::payments::VISA;

#[tokio::test]
async fn payment_needing_authentication_waits_for_its_customer() {
    let world = declined("authentication_required", None).await;
    let report = world.refill().await;
    assert_eq!(report.needs_customer, 1, "{report:?}");
    let confirmation = world.profile().await.confirmation.unwrap();
    assert_eq!(confirmation.attempt, 1);
    assert_eq!(world.refill().await.needs_customer, 1);
    world.advance(22 * HOUR);
    assert_eq!(world.refill().await.needs_customer, 1);
    assert_eq!(world.count("refill_needs_customer").await, 1);
    let rows = world.rows().await;
    let says_where = |row: &Row| matches!(&row.event.change, Change::Refill(RefillChange::RefillNeedsCustomer { url: Some(url), .. }) if *url == confirmation.url);
    assert!(rows.iter().any(says_where), "its event leads the customer there");
    let card = world.profile().await.cards[0].id.to_string();
    world.stand_in.decline_card(&card, None);
    let path = confirmation.url.split_once("/i/").map(|(_, id)| format!("/i/{id}")).unwrap();
    world.post(&path, &format!("card={VISA}")).await;
    assert_eq!(world.charged_cents(), 5000, "paid at the invoice's own page");
    assert_eq!(world.refill().await.charged, 1);
    world.deliver_all().await;
    assert_eq!((world.count("auto_refill").await, world.state().await.refill.attempt), (1, None));
    world.check().await;
}

#[tokio::test]
async fn a_payment_nobody_confirmed_is_given_up_after_23_hours() {
    let world = declined("authentication_required", None).await;
    assert_eq!(world.refill().await.needs_customer, 1);
    world.advance(23 * HOUR);
    let report = world.refill().await;
    assert_eq!(
        (report.failed, report.steps.as_slice()),
        (1, ["attempt 1: authentication_required".to_owned()].as_slice())
    );
    let invoices = world.objects("invoice");
    assert!(invoices.iter().any(
        |invoice| invoice["metadata"]["tollgate_attempt"] == "1" && invoice["status"] == "void"
    ));
    world.check().await;
}

#[tokio::test]
async fn crash_between_void_and_row_counts_as_not_confirmed() {
    let world = declined("authentication_required", None).await;
    assert_eq!(world.refill().await.needs_customer, 1);
    world.advance(23 * HOUR);
    let invoices = world.objects("invoice");
    let open = invoices.iter().find(|invoice| invoice["status"] == "open").unwrap();
    world.stripe.void_invoice(open["id"].as_str().unwrap()).await.unwrap();
    assert_eq!(world.refill().await.failed, 1);
    let rows = world.rows().await;
    let failed = rows.iter().find_map(|row| match &row.event.change {
        Change::Refill(RefillChange::RefillFailed { decline, .. }) => Some(*decline),
        _ => None,
    });
    assert_eq!(failed, Some(RefillDecline::Later));
}

/// Another card was chosen, refills were switched off, or the customer paid by hand.
#[tokio::test]
async fn confirmation_that_is_no_longer_needed_is_called_off() {
    let other_card = |state: &AccountState| {
        let terms = Some(RefillTerms::multiple(named("30"), named("25")));
        let card = Some(named("pm_another"));
        Ok(Command::ChangeRefill(RefillSettings {
            terms,
            card,
            card_choice: CardChoice::Named,
            monthly_cap: state.refill.monthly_cap,
            ..RefillSettings::default()
        }))
    };
    let off = |_: &AccountState| Ok(Command::ChangeRefill(RefillSettings::default()));
    let paid = |_: &AccountState| {
        Ok(Command::Correct { amount: named("500"), reason: "paid by wire".to_owned() })
    };
    type Change<'a> = &'a (dyn Fn(&AccountState) -> Result<Command, Refusal> + Sync);
    for (nth, change) in [&other_card as Change<'_>, &off, &paid].into_iter().enumerate() {
        for is_void in [false, true] {
            let world = declined("authentication_required", None).await;
            assert_eq!(world.refill().await.needs_customer, 1);
            let policy = &world.refill.billing.settings.policy;
            let is_due = async || refill_needs_driving(&world.state().await, policy, world.now());
            assert!(!is_due().await, "{nth}");
            execute(&world, &change).await;
            assert!(is_due().await, "{nth}");
            let invoice_of = |invoice: &Value| invoice["metadata"]["tollgate_attempt"] == "1";
            let invoice = || world.objects("invoice").into_iter().find(invoice_of).unwrap();
            if is_void {
                // A run died before its row.
                world.stripe.void_invoice(invoice()["id"].as_str().unwrap()).await.unwrap();
            }
            assert_eq!(world.refill().await.steps, ["attempt 1: called_off"], "{nth}");
            let refill = world.state().await.refill;
            assert_eq!((refill.attempt, refill.failed_at, refill.failures), (None, None, 0));
            assert_eq!(invoice()["status"], "void", "{nth}");
            assert_eq!(world.charged_cents(), 2_500, "{nth}");
            world.check().await;
        }
    }
}

/// The default card was replaced at Stripe, and its events are lost.
#[tokio::test]
async fn card_that_is_gone_is_replaced_by_the_default_of_today() {
    let world = paying_by_hand("25.00", "5555555555554444").await;
    world.deliver_all().await;
    let cards = world.profile().await.cards;
    let old = world.profile().await.default_card.unwrap();
    let new = cards.iter().find(|card| card.id != old).unwrap().id.clone();
    let default = |_: &AccountState| {
        Ok(Command::ChangeRefill(RefillSettings {
            terms: Some(RefillTerms::multiple(named("60"), named("25"))),
            card: Some(old.clone()),
            card_choice: CardChoice::Default,
            ..RefillSettings::default()
        }))
    };
    execute(&world, &default).await;
    let customer = world.profile().await.customer.unwrap();
    world.stand_in.detach_in_portal(old.as_str()).unwrap();
    world.stand_in.set_default_in_portal(customer.as_str(), new.as_str()).unwrap();
    assert_eq!(world.refill().await.steps, ["attempt 1: called_off"]);
    world.advance(2 * MINUTE);
    assert_eq!(world.refill().await.steps, ["attempt 2: charged"]);
    let charges = world.objects("charge");
    assert!(charges.iter().filter(|charge| charge["payment_method"] == new.as_str()).count() == 2);
    world.deliver_all().await;
    world.check().await;
}

/// The card changed or the amount was lowered, so the customer no longer agrees to the charge. Or the
/// balance is high enough without it.
#[tokio::test]
async fn attempt_no_longer_agreed_is_canceled_and_not_counted() {
    type Change = Box<dyn Fn(&AccountState) -> Result<Command, Refusal> + Sync>;
    let settings = |card: Option<&str>, amount: &str| -> Change {
        let (card, terms) =
            (card.map(named), Some(RefillTerms::multiple(named("30"), named(amount))));
        Box::new(move |state| {
            let card = card.clone().or_else(|| state.refill.card.clone());
            let settings = RefillSettings {
                terms,
                card,
                card_choice: CardChoice::Named,
                monthly_cap: None,
                ..RefillSettings::default()
            };
            Ok(Command::ChangeRefill(settings))
        })
    };
    let paid = |_: &AccountState| {
        Ok(Command::Correct { amount: named("500"), reason: "paid by wire".to_owned() })
    };
    let changes =
        [settings(Some("pm_another"), "25"), settings(None, "20"), Box::new(paid) as Change];
    for (nth, change) in changes.into_iter().enumerate() {
        let world = with_open_attempt().await;
        execute(&world, &change).await;
        let report = world.refill().await;
        assert_eq!(report.steps, ["attempt 1: called_off"], "{nth}");
        let refill = world.state().await.refill;
        assert_eq!(
            (refill.failures, refill.paused, world.charged_cents()),
            (0, None, 2500),
            "{nth}"
        );
        let invoices = world.objects("invoice");
        let mut refills =
            invoices.iter().filter(|invoice| invoice["metadata"]["tollgate_attempt"] == "1");
        assert!(refills.all(|invoice| invoice["status"] == "void"), "{nth}: {invoices:?}");
        world.check().await;
    }
}
