//! Tollgate: the billing backend of a cloud that sells prepaid credit.
//!
//! This crate holds everything the functions share. Each function is a thin shell around it.
//!
//! # The idea
//!
//! Every change to an account's money, or to what it is billed for, is **one row appended to that
//! account's chain**. A row holds what happened, the signed amount, and a snapshot of the account's
//! state after it. Reading an account is reading its newest row. Writing is one conditional append:
//! whoever writes row *n + 1* first wins, and the loser decides again. No second balance can ever
//! disagree with the first.
//!
//! Prepaid means *paid ahead*. At the beginning of each hour the account pays for the hour to come,
//! and `paid_through` is the first second that is not paid. Billing for time never takes a balance
//! below zero.
//!
//! # The layers
//!
//! Imports go one way, from the bottom of this table to its top. `tests/scenarios/architecture.rs`
//! reads every path in the code and fails on an upward import or a cycle.
//!
//! | layer | what | may import |
//! |---|---|---|
//! | [`domain`] | the rules, as pure code: no I/O, SDK, clock or randomness | nothing |
//! | [`views`] | what a row means to others: events, notices, transactions, spending | `domain` |
//! | [`store`] | the two DynamoDB tables | `domain`, `views` |
//! | `runtime` | what a function is built from: AWS clients, settings, logs, metrics | the above |
//! | `stripe` | Stripe's API: calls, objects, errors, webhook events | `domain`, `runtime` |
//! | `payments` | what Stripe's objects mean to an account: credit, refunds, disputes, refills, cards | all but `http` |
//! | [`http`] | requests, answers, problems | all |
//!
//! # Reading order
//!
//! 1. Values: [`domain::money`], [`domain::ids`], [`domain::timestamp`].
//! 2. The account: [`domain::account`] stands in every row, [`domain::resources`] is what it is
//!    billed for, [`domain::prices`] and [`domain::policy`] are the rules in numbers.
//! 3. What happens: a request is [resolved](domain::resolve) into a [`domain::command`],
//!    [decided](domain::decide) into a [`domain::event`] or [refused](domain::refusal).
//! 4. Time: [`domain::settle`] plans the rows that bring an account up to `now`. The hourly run, the
//!    minute run and every command that depends on time use it.
//! 5. The stored form: [`domain::row`]. The ledger: [`store`].
//!
//! # Glossary
//!
//! | word | meaning |
//! |---|---|
//! | row | one fact about an account, with the state after it |
//! | chain | all rows of an account, each with the hash of the one before |
//! | head | the newest row's state and hash: what the next row is appended to |
//! | cause | what made a row: a Stripe payment, an hour, a request. One cause, at most one row |
//! | claim | the item that makes a cause single, written in the row's transaction |
//! | grant | credit that was not paid for, with an expiry |
//! | fund | paid credit, or one grant |
//! | settle | bring an account up to `now`: pay what is due, expire, suspend, delete, purge |
//! | respite | the time for which a wanted refill puts off a suspension |
//! | standing | `good`, `suspended`, `deleting`, `deleted` or `closed` |

pub mod domain;
pub mod http;
#[cfg(feature = "stripe")]
pub mod payments;
pub mod runtime;
pub mod store;
#[cfg(feature = "stripe")]
pub mod stripe;
pub mod views;
