//! The ledger on DynamoDB: the only module that does I/O.
//!
//! # Tables
//!
//! `ledger` is append only. **Everything in it is put under the condition that nothing is there
//! yet**, by one function, and nothing is ever updated or removed.
//!
//! | `account` (partition) | `seq` (sort) | what |
//! |---|---|---|
//! | an account | 0, 1, 2, … | its rows: `at`, `type`, `amount`, `balance`, `body` ([`StoredRow`]), and for every cause but time a `nonce` |
//! | `<account>#lines#<digest>` | 0, 1, … | the lines of a row that do not fit it, in chunks |
//! | `claim#<key>` | 0 | who used a key that may be used once: `owner`, `row`; for usage reports, and requests of rows before format 5, also `digest` and `expires` |
//! | `lookup#<Stripe's id>` | 0 | where a payment's other ids lead to: `owner`, `row` |
//! | `owner#<Stripe's id>` | 0 | whose an object of Stripe's is, before any row tells of it: `owner` |
//!
//! (No id contains `#`, so the five kinds cannot meet.)
//!
//! `accounts` holds everything that changes, each change in the transaction of the row that says
//! so:
//!
//! | `pk` | `sk` | what |
//! |---|---|---|
//! | `account#A` | `schedule` | `seq` of the row that wrote it, and the keys of the two indexes while they apply |
//! | `account#A` | `profile` | `email`, `company`, the customer at Stripe and its cards; `erased` after that (`erasure.rs`) |
//! | `account#A` | `profile-name` | the name of the company, to find the account by it (`search.rs`) |
//! | `account#A` | `project#P` | a project: `name`, and `digest`: the request that added it |
//! | `account#A` | `project-list` | `version`, which goes up with every project that is added; `erased` (`erasure.rs`) |
//! | `account#A` | `quotas` | `resources`, `projects`, and who set them, when and why |
//! | `account#A` | `staff-invoice#in_…` | an invoice that staff issued (`staff_invoices.rs`) |
//! | `account#A` | `billable#resource#R` | `seq`, and `body`: the [`Resource`](crate::domain::resources::Resource) as JSON |
//! | `account#A` | `billable#meter#P#SKU` | `project`, `sku`, `reading`, `read_at`, `billed` |
//! | `account#A` | `metered#…`, `counter#…` | metered usage by the hour, and what counters showed (`meters.rs`) |
//! | `account#A` | `unbilled` | what unbilled usage is worth, as a hint (`unbilled.rs`) |
//! | `account#A` | `payment#P#taken`, `payment#P#dispute#D` | what was taken back of a payment (`payment_records.rs`) |
//! | `account#A` | `request-row#…`, `request#…` | idempotency keys of requests (`requests.rs`) |
//! | `account#A` | `pages`, `requests-to-stripe#…` | what limits are counted by (`limits.rs`) |
//! | `resource-id#R` | `claim` | which account uses the chosen ID of a resource: `owner`, `row` |
//! | `limits` | `new-account-pages#…` | the same for all new accounts together |
//! | `price-list` | `sku#SKU#<valid from>` | `body`: the [`Price`](crate::domain::prices::Price) as JSON |
//! | `price-list` | `first#SKU` | that the SKU has its first price |
//! | `commit-offers` | `version#…` | a version of the commit plans on offer, and who set them, when and why |
//!
//! # Reading order
//!
//! [`Store::append`] writes one row. [`Store::settle`] and [`Store::execute`] are what handlers
//! call: they read, let the domain decide, append, and begin again where another writer was faster.
//! The rest is reading.
//!
//! # Retries
//!
//! The SDK's own retries are for reads. Writes are repeated here as well, because only here is it
//! known what a failed condition means after an answer was lost: the row that is there may be the
//! very row that was to be written.

mod accounts;
mod append;
mod backoff;
mod claims;
mod commit_offers;
mod customers;
mod erasure;
mod execute;
mod export;
mod fault;
mod history;
mod indexes;
mod item;
mod limits;
mod meters;
mod outcome;
mod payment_records;
mod profiles;
mod projects;
mod quotas;
mod requests;
mod resource_ids;
mod rows;
mod runs;
mod search;
mod staff_invoices;
mod unbilled;
mod verify;
mod write;

use aws_sdk_dynamodb::Client;

pub use accounts::RecordOutcome;
pub use append::Appended;
pub use claims::{CreditedPayment, ExistingClaim};
pub use commit_offers::OfferDecision;
pub use customers::{CustomerProfile, PaymentIds, RefillConfirmation, SavedCard};
pub use execute::{Plan, TakenPart, Trigger};
pub use export::{ExportedItem, ItemPage};
pub use fault::{CommandError, StoreError};
pub use history::{BoundedRead, FoundRows, READS_MAX};
pub use indexes::{AccountPage, DueAccount, DueAccounts, IndexShard, SHARDS};
pub use limits::{Counted, RequestCounter, UnpaidPages};
pub use meters::{ReportOutcome, ReportRules, ReportedAmount, UsageReport};
pub use outcome::{
    CLOCK_BEHIND_ALARM_SECONDS, CommandOutcome, CommandReceipt, SettleReport, SettledAccount,
};
pub use projects::{NamedProject, ProjectAdded, ProjectPage};
pub use quotas::QuotaDecision;
pub use requests::NotedRequest;
pub use rows::{RowOrder, RowPage};
pub use search::{FoundAccounts, SearchField};
pub use staff_invoices::{StaffAct, StaffInvoice};
pub use verify::{ChainError, VerifiedChain};

#[cfg(doc)]
use crate::domain::row::StoredRow;
use crate::domain::row_format::RowFormat;

/// The names of the two tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableNames {
    /// Rows, claims, look-ups and chunks of lines: append only.
    pub ledger: String,
    /// Everything that changes.
    pub accounts: String,
}

/// The ledger and the accounts on DynamoDB. Clones share one client.
#[derive(Clone, Debug)]
pub struct Store {
    client: Client,
    tables: TableNames,
    readable: RowFormat,
}

impl Store {
    /// A store on these tables, reached by this client.
    #[must_use]
    pub fn new(client: Client, tables: TableNames) -> Store {
        Store { client, tables, readable: RowFormat::READABLE }
    }

    /// The same, but reads rows of formats up to this one only: a release as it was before.
    #[must_use]
    pub fn reading_up_to(self, readable: RowFormat) -> Store {
        Store { readable, ..self }
    }
}
