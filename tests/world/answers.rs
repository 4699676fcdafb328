//! The answer of every route of the template: a good one, and each refusal that HTTP can reach. The
//! answers are recorded in `recorded/answers`, one file for each function.
//!
//! Other tests say what an answer should be. This test says whether an answer changed.

mod access;
mod holds;
mod money;
mod recorder;
mod resources;
mod staff;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tollgate::http::problem::ProblemCode;
use tollgate_local::wiring::Route;

use crate::answers::recorder::Recorder;
use crate::recorded::compare;
use crate::support::{Processes, World};

/// Codes without a recorded answer. API Gateway itself answers a missing token and a wrong method.
/// The last five need more data or other faults than are made here. The tests of the functions have
/// them.
const NOT_RECORDED: [ProblemCode; 7] = [
    ProblemCode::MethodNotAllowed,
    ProblemCode::Unauthorized,
    ProblemCode::AddressRefused,
    ProblemCode::TooMuch,
    ProblemCode::Unavailable,
    ProblemCode::RefillInProgress,
    ProblemCode::TooManyPages,
];

#[tokio::test]
async fn answers_are_those_that_were_recorded() {
    let world = World::new(Processes::One).await;
    let mut recorder = Recorder::new(&world);
    let r = &mut recorder;
    access::files(r).await;
    access::doors(r).await;
    access::somebody_new(r).await;
    money::money_and_cards(r).await;
    resources::resources(r).await;
    resources::platform(r).await;
    resources::history(r).await;
    staff::staff(r).await;
    money::refills(r).await;
    access::no_credit(r).await;
    access::stripe_down(r).await;
    staff::webhooks(r).await;
    access::long_ago(r).await;
    resources::coming_back(r).await;
    money::trial(r).await;
    access::leaving(r).await;
    holds::holds(r).await;

    let all: BTreeSet<String> = recorder.routes.iter().map(Route::key).collect();
    let is_good = |answer: &Value| answer["status"].as_u64().is_some_and(|status| status < 300);
    let kept = recorder.answers.values().flatten();
    let good: BTreeSet<String> = kept
        .filter(|(_, answers)| answers.iter().any(is_good))
        .map(|(route, _)| route.clone())
        .collect();
    assert_eq!(good, all, "every route of the template has a good answer here");
    for (function, routes) in &recorder.answers {
        let text = serde_json::to_string_pretty(&json!(routes)).unwrap() + "\n";
        compare(&format!("answers/{function}.json"), &text);
    }
    let kept = recorder.answers.values().flat_map(BTreeMap::values).flatten();
    let codes: BTreeSet<&str> = kept.filter_map(|answer| answer["body"]["code"].as_str()).collect();
    let expected = ProblemCode::ALL.iter().filter(|code| !NOT_RECORDED.contains(code));
    assert_eq!(codes, expected.map(|code| code.name()).collect());
}
