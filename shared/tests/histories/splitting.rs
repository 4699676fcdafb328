//! A period paid in two parts costs the same as in one, to the micro-dollar per line.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tollgate::domain::account::AccountState;
use tollgate::domain::funds::Purse;
use tollgate::domain::ids::{ProjectId, ResourceId, Sku};
use tollgate::domain::money::{Rate, Usd};
use tollgate::domain::settle::period::{PeriodCharge, pay, sum};
use tollgate::domain::timestamp::Timestamp;

use crate::config;
use crate::model::micros;

fn rate() -> impl Strategy<Value = Rate> {
    let parts = prop_oneof![
        0_i64..1_000_000,
        0_i64..40_000_000_000_000,
        Just(600_000_000_000),
        Just(2_160_000_000)
    ];
    parts.prop_filter_map("a rate", |picos| Rate::new(rust_decimal::Decimal::new(picos, 12)).ok())
}

fn total(charges: &[PeriodCharge<'_>], from: Timestamp, through: Timestamp) -> Option<i64> {
    let state = AccountState { paid: Usd::dollars(1_000_000), ..AccountState::default() };
    let mut purse = Purse::for_new_period(&state, from);
    pay(&mut purse, charges, from, through).map(|lines| micros(sum(&lines)))
}

#[test]
fn splitting_a_period_changes_a_line_by_one_micro_at_most() {
    let strategy = (vec(rate(), 1..8), 1_i64..=3_600, 0_i64..=3_600);
    let check = |(rates, seconds, split): (Vec<Rate>, i64, i64)| {
        let named = ("r".parse(), "p".parse(), "vm".parse());
        let (id, project, sku): (ResourceId, ProjectId, Sku) = match named {
            (Ok(id), Ok(project), Ok(sku)) => (id, project, sku),
            _ => return Err(TestCaseError::fail("an id cannot be parsed")),
        };
        let from = Timestamp::default();
        let charges: Vec<PeriodCharge<'_>> = rates
            .iter()
            .map(|rate| PeriodCharge {
                resource: &id,
                project: &project,
                sku: &sku,
                rate: *rate,
                since: from,
            })
            .collect();
        let (middle, through) = (from.plus(split.min(seconds)), from.plus(seconds));
        let whole = total(&charges, from, through);
        let parts = total(&charges, from, middle)
            .zip(total(&charges, middle, through))
            .map(|(one, other)| one + other);
        let difference = whole.zip(parts).map(|(whole, parts)| (whole - parts).abs());
        let allowed = i64::try_from(rates.len()).unwrap_or(0);
        prop_assert!(
            difference.is_some_and(|difference| difference <= allowed),
            "{whole:?} or {parts:?}"
        );
        Ok(())
    };
    if let Err(failure) = TestRunner::new(config(2_000)).run(&strategy, check) {
        let text = failure.to_string();
        assert!(text.is_empty(), "{text}");
    }
}
