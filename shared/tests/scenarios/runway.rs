//! How long the credit lasts. The time shown to the customer is exact, to the second.

use tollgate::domain::account::Standing;
use tollgate::domain::event::{Change, ResourceChange, StandingChange};
use tollgate::domain::money::Usd;
use tollgate::domain::settle::runway::runway;
use tollgate::domain::timestamp::{HOUR, Timestamp};

use crate::world::{World, at, named};

/// Settles hour by hour until a resource stops. Returns the time of the stop.
fn first_stop(world: &mut World, from: &str) -> Timestamp {
    let mut now = at(from);
    loop {
        now = now.plus(HOUR).hour().start();
        let known = world.events.len();
        world.settle(&now.to_string());
        for event in &world.events[known..] {
            match &event.change {
                Change::Standing(StandingChange::Suspended { as_of, .. }) => return *as_of,
                Change::Resource(ResourceChange::Stopped { .. }) => {
                    return world.states[known].paid_through().unwrap();
                }
                _ => {}
            }
        }
    }
}

#[test]
fn the_runway_ends_where_the_suspension_will_be() {
    let mut world = World::with_credit("60");
    for (time, id, sku) in
        [("10:07", "a", "vm60"), ("10:11", "b", "tiny"), ("10:40:13", "c", "vm100")]
    {
        world.start(time, id, sku).unwrap();
    }
    world.grant("10:50", "7.77", "24T07:20", &["vm100"]);
    let told = runway(&world.view()).unwrap();
    assert_eq!(told.rate_per_hour, named("1.60216"));
    let ended = first_stop(&mut world, "10:50");
    assert_eq!(told.zero_at, Some(ended));
    assert_eq!(told.deleted_at, Some(ended.plus(world.policy.grace_seconds)));
    let Standing::Suspended(ref suspension) = world.state.standing else {
        panic!("{:?}", world.state.standing)
    };
    assert_eq!(runway(&world.view()).unwrap().deleted_at, suspension.delete_at);
}

#[test]
fn the_runway_ends_with_the_first_resource_whose_own_funds_end() {
    let mut world = World::opened();
    world.grant("10:00", "100", "12-20T00:00", &["x"]);
    world.credit("10:00", "6.25");
    world.start("10:00", "x", "x").unwrap();
    world.start("10:00", "vm", "vm100").unwrap();
    let told = runway(&world.view()).unwrap();
    assert_eq!(told.zero_at, Some(at("16:15")));
    assert_eq!(first_stop(&mut world, "10:00"), at("16:15"));
}

#[test]
fn free_resources_have_an_endless_runway() {
    let mut world = World::with_credit("5");
    assert_eq!(runway(&world.view()).unwrap().zero_at, None, "nothing runs");
    world.start("10:00", "f", "free").unwrap();
    assert_eq!(runway(&world.view()).unwrap().zero_at, None);
    assert_eq!(world.state.balance(), Usd::dollars(5));
    world.start("10:00", "t", "tiny").unwrap();
    let zero_at = runway(&world.view()).unwrap().zero_at.unwrap();
    assert_eq!(zero_at.hour().start(), at("10:00").plus(2314 * HOUR), "$5.00 at $0.00216 an hour");
}
