//! Tollgate: the billing backend of a cloud that sells prepaid credit.
//!
//! This crate is the whole of the billing domain as pure code, and the ledger on DynamoDB under it.
//! Every function is a thin shell around it.
//!
//! # The idea
//!
//! Every change to an account's money, or to what it is billed for, is **one row appended to that
//! account's chain**. A row holds what happened, the signed amount, and a snapshot of the account's
//! state after it. So reading an account is reading its newest row; writing is one conditional
//! append (whoever writes row *n + 1* first wins, the other decides again); and no second balance
//! can ever disagree with the first.
//!
//! Prepaid means *paid ahead*: at the beginning of each hour the account pays for the hour to come,
//! and `paid_through` says up to which second everything is paid. Billing for time never takes a
//! balance below zero.
//!
//! # Reading order
//!
//! 1. Values: [`money`], [`ids`], [`timestamp`].
//! 2. The account: [`state`] is what stands in every row, [`billables`] what it is billed for,
//!    [`prices`] and [`policy`] the rules in numbers.
//! 3. What happens: a [`request`] is resolved into a [`command`], decided by [`decide`](mod@decide)
//!    into an [`event`] or refused with a [`refusal`], and carried out by [`apply`](mod@apply).
//! 4. Planners: [`settle`](mod@settle) says which rows bring an account up to `now`, and is what
//!    the hourly run, the minute run and every command that depends on time use; [`funds`]
//!    spreads an amount over grants and paid credit, [`period`] says what a stretch of time costs
//!    and how far the credit reaches, [`refill`] whether, when and how much to charge, [`due`] what
//!    is due next, [`runway`](mod@runway) how long the credit lasts.
//! 5. The stored form: [`row`]. What the world is told of a row: [`notice`]; what its customer is
//!    shown: [`transaction`]; what many rows cost together: [`spending`]. The ledger on DynamoDB:
//!    [`store`]. What every function of the HTTP API does the same way: `api`. What a function is
//!    built from: `aws`, `settings`, `shell`; how it says what it did: `metrics`.
//!
//! # What is deliberately absent
//!
//! Nothing above [`store`] knows the clock, randomness, I/O, an SDK or Stripe. `now` is always an
//! argument: it comes with the trigger. A refusal ([`refusal::Refusal`]) and a fault of the
//! infrastructure never share a type. There is no floating point.

pub mod money;

pub mod ids;
pub mod timestamp;

pub mod state;

pub mod billables;
pub mod policy;
pub mod prices;

pub mod command;
pub mod event;
pub mod refusal;
pub mod request;

pub mod apply;
pub mod decide;

pub mod view;

pub mod due;
pub mod funds;
pub mod period;
pub mod refill;
pub mod runway;
pub mod settle;

pub mod row;

pub mod notice;
pub mod spending;
pub mod transaction;

pub mod profile;

#[cfg(feature = "shell")]
pub mod aws;
#[cfg(feature = "bus")]
pub mod bus;

pub mod store;

pub mod problem;

#[cfg(feature = "http")]
pub mod http;

pub mod settings;

#[cfg(feature = "shell")]
pub mod logs;
#[cfg(feature = "shell")]
pub mod shell;

#[cfg(feature = "shell")]
pub mod metrics;

#[cfg(all(feature = "http", feature = "shell"))]
pub mod api;

#[cfg(feature = "stripe")]
pub mod stripe;
