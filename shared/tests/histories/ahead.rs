//! Properties that hold between rows: settling is complete, and the account reports when the next
//! row is due.

use std::rc::Rc;

use tollgate::domain::account::{AccountState, Standing, TaxMode};
use tollgate::domain::command::Command;
use tollgate::domain::decide::decide;
use tollgate::domain::event::{
    BillingChange, Cause, Change, Event, GrantChange, ResourceChange, StandingChange, StopReason,
};
use tollgate::domain::settle::due::due_at;
use tollgate::domain::settle::{TriggerDelivery, next_due_row};
use tollgate::domain::snapshot::AccountSnapshot;
use tollgate::domain::timestamp::Timestamp;

use crate::Check;
use crate::model::{ensure, hold_end, is_held};
use crate::world::World;

/// How far ahead to look for due rows, in seconds.
const AHEAD: [i64; 8] = [1, 120, 600, 1_800, 3_600, 86_400, 3 * 86_400, 14 * 86_400];

/// Checks an account as a step left it.
pub(crate) fn check(world: &World) -> Check {
    let prices = Rc::clone(&world.prices);
    let view = world.view(&world.account, &prices, &world.policy)?;
    let (state, now) = (view.state(), world.now);
    let due = due_at(state, &world.policy);
    let row = |at| {
        next_due_row(&view, at, TriggerDelivery::Prompt).map_err(|refusal| refusal.to_string())
    };

    // Whatever is due now or soon and is not the hourly run's, is announced in time.
    let soon = AHEAD[usize::try_from(state.next_seq).unwrap_or(0) % AHEAD.len()];
    for at in [now, now.plus(soon)] {
        if let Some(event) = row(at)?
            && !is_of_the_hourly_run(state, &event)
        {
            let announced = due.is_some_and(|due| due <= at);
            ensure!(announced, "{} is due by {at}, announced for {due:?}", event.change.name());
        }
    }
    let waits_for_outside = state.refill.wanted.is_some()
        || state.refill.attempt.is_some()
        || !state.open_refunds.is_empty()
        || matches!(state.standing, Standing::Deleting(_));
    if row(now)?.is_none() {
        // Settled: everything is paid. Announced deletions lie in the future or wait for Stripe.
        let is_paid = state.paid_through().is_none_or(|through| through > now);
        ensure!(
            is_paid || is_held(state, now.seconds()),
            "settled, and paid through {:?} only",
            state.paid_through()
        );
        ensure!(
            !state.credit_used_up || is_held(state, now.seconds()),
            "settled, and not suspended without credit"
        );
        if let Some(due) = due {
            ensure!(due > now || waits_for_outside, "settled at {now}, and due since {due}");
            let progress = due > now && row(due)?.is_some();
            ensure!(progress || waits_for_outside, "announced for {due}, but then nothing is due");
        }
        // A wanted refill can start. Otherwise it would be retried forever and delay suspensions
        // for nothing.
        if state.refill.wanted.is_some() && state.refill.attempt.is_none() {
            let begin =
                Command::BeginRefill { customer: crate::world::id("cus")?, tax: TaxMode::Off };
            let begun = decide(state, &begin, Cause::Command, &world.policy, now);
            ensure!(begun.is_ok(), "a refill is wanted and cannot begin: {begun:?}");
        }
        // The end of a delay is not a full hour.
        if is_held(state, now.seconds()) && !is_paid {
            let end = hold_end(state).unwrap_or(now);
            let is_suspended = row(end)?.is_some();
            let announced = due.is_some_and(|due| due <= end);
            ensure!(!is_suspended || announced, "a hold ends at {end}, announced for {due:?}");
        }
    }
    Ok(())
}

/// Work that is due at the end of a full hour, and meters. The hourly run covers all accounts that
/// have any. Also where a trial ends because its credit no longer pays.
fn is_of_the_hourly_run(state: &AccountState, event: &Event) -> bool {
    let full_hour = state.paid_through().is_some_and(|through| through.hour().start() == through);
    match &event.change {
        Change::Billing(BillingChange::Metered { .. }) => true,
        Change::Billing(BillingChange::Usage { .. })
        | Change::Standing(StandingChange::Suspended { .. })
        | Change::Resource(ResourceChange::Stopped {
            why: StopReason::Credit | StopReason::Budget,
            ..
        }) => full_hour,
        Change::Grant(GrantChange::TrialOver { ended_at, .. }) => {
            full_hour && state.trial.as_ref().is_some_and(|trial| *ended_at < trial.ends_at)
        }
        _ => false,
    }
}

/// The next instant of a punctual run: the next full hour, or the next due time if that is sooner.
pub(crate) fn next_run(view: &AccountSnapshot<'_>, now: Timestamp) -> Timestamp {
    let hour = now.hour().end();
    due_at(view.state(), view.policy()).filter(|due| *due > now).map_or(hour, |due| due.min(hour))
}
