//! Accounts with an opening balance: what their customers had elsewhere.

use std::collections::BTreeSet;

use tollgate::domain::account::GrantKind;
use tollgate::domain::command::{
    BonusGrant, CardFunding, CardWallet, Command, OpeningBalance, TrialCard,
};
use tollgate::domain::event::Claim;
use tollgate::domain::profile::NonEmptyText;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::row_format::RowFormat;

use crate::world::{World, at, named};

fn opening(credit: &str, bonus: &str) -> OpeningBalance {
    let bonus = (!bonus.is_empty()).then(|| BonusGrant {
        amount: named(bonus),
        expires_at: at("2026-12-01T00:00:00Z"),
        excludes: BTreeSet::from([named("gpu")]),
    });
    let reference = NonEmptyText::try_from("customer 4711".to_owned()).unwrap();
    OpeningBalance { credit: named(credit), bonus, reference }
}

fn import(world: &mut World, time: &str, opening: OpeningBalance) -> Result<(), Refusal> {
    world.command(time, Command::Import(opening)).map(|_| ())
}

#[test]
fn account_opens_with_the_credit_and_the_bonus_that_it_had() {
    let mut world = World::opened_as("alice");
    import(&mut world, "11:00", opening("12.345678", "5")).unwrap();
    world.rows(&["11:00:00 imported 17.345678 = 17.345678"]);
    assert_eq!(world.state.paid, named("12.345678"));
    let [grant] = world.state.grants.as_slice() else { panic!("{:?}", world.state.grants) };
    assert_eq!((grant.kind, grant.remaining), (GrantKind::Bonus, named("5")));
    assert_eq!(grant.excludes, BTreeSet::from([named("gpu")]));
    let claims: Vec<Claim> = world.events.last().unwrap().claims(&named("alice"));
    let keys: Vec<&str> = claims.iter().map(|claim| claim.key.as_str()).collect();
    assert_eq!(keys, ["import#alice"], "an account is imported once");
}

#[test]
fn customers_who_paid_elsewhere_have_no_trial_and_others_may() {
    for (credit, has_paid) in [("0.01", true), ("0", false)] {
        let mut world = World::opened_as("alice");
        import(&mut world, "11:00", opening(credit, "")).unwrap();
        assert_eq!(world.state.ever_paid, has_paid, "{credit}");
    }
}

#[test]
fn opening_balance_ends_a_suspension() {
    let mut world = World::with_credit("5");
    world.start("11:00", "a", "vm100").unwrap();
    world.settle("17:00");
    assert_ne!(world.state.standing.name(), "good");
    import(&mut world, "17:10", opening("50", "")).unwrap();
    world.settle("17:10");
    assert_eq!(world.state.standing.name(), "good");
}

#[test]
fn terms_of_a_trial_are_left_alone() {
    let mut world = World::opened_as("alice");
    let card = TrialCard {
        fingerprint: named("fp_1"),
        funding: CardFunding::Credit,
        wallet: CardWallet::None,
    };
    world.command("10:30", Command::StartTrial { card, refill: None }).unwrap();
    assert_eq!(import(&mut world, "11:00", opening("1", "")), Err(Refusal::InTrial));
}

#[test]
fn what_cannot_be_imported_is_refused() {
    let mut world = World::opened_as("alice");
    let refused = import(&mut world, "11:00", opening("-0.01", ""));
    assert_eq!(refused, Err(Refusal::AmountNotPositive));
    let refused = import(&mut world, "11:00", opening("1", "0"));
    assert_eq!(refused, Err(Refusal::AmountNotPositive));
    let now = at("2026-12-02T11:00:00Z");
    let refused = import(&mut world, "2026-12-02T11:00:00Z", opening("1", "1"));
    assert_eq!(refused, Err(Refusal::ExpiryPast { now }));
    world.policy.row_format = RowFormat::new(5);
    let refused = import(&mut world, "2026-12-02T11:00:00Z", opening("1", ""));
    assert_eq!(refused, Err(Refusal::ImportsNotYet));
    world.policy.row_format = RowFormat::new(6);
    world.command("2026-12-02T11:00:00Z", Command::Close { reason: "fraud".to_owned() }).unwrap();
    let refused = import(&mut world, "2026-12-02T11:01:00Z", opening("1", ""));
    assert_eq!(refused, Err(Refusal::Closed));
}
