//! The store on a DynamoDB of its own, with prices, and shortcuts for scenarios.
//!
//! Times are given as `"10:20:00"` on one day, [`DAY`], or in full.

use std::str::FromStr;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use tollgate::domain::account::AccountState;
use tollgate::domain::command::{BonusGrant, Command};
use tollgate::domain::decide::{RESOURCES_PER_ROW_MAX, decide};
use tollgate::domain::event::{Cause, CreditKind, PaymentFacts};
use tollgate::domain::ids::{AccountId, ResourceId};
use tollgate::domain::money::{Rate, Usd};
use tollgate::domain::policy::Policy;
use tollgate::domain::prices::{Price, PriceDisplay, PriceList, PriceUnit};
use tollgate::domain::resolve::{self, NewResource, OwnedProject};
use tollgate::domain::resources::BillableList;
use tollgate::domain::row::ChainHead;
use tollgate::domain::settle::TriggerDelivery;
use tollgate::domain::snapshot::AccountSnapshot;
use tollgate::domain::timestamp::Timestamp;
use tollgate::runtime::billing::Billing;
use tollgate::runtime::settings::Settings;
use tollgate::store::{
    Appended, CommandError, CommandOutcome, CommandReceipt, Plan, SettleReport, Store, StoreError,
    TableNames, Trigger,
};

use crate::dynamodb::{Attempts, DynamoDb, Tables};
use crate::faults::Faults;
use crate::template::TestTemplate;

/// The day of a test's times.
pub const DAY: &str = "2026-11-22";

/// Who issues tokens in tests.
pub const TOKEN_ISSUER: &str = "https://issuer.example";

/// The client of staff's tokens in tests.
pub const STAFF_CLIENT: &str = "staff-client";

/// The client of the platform's tokens in tests.
pub const PLATFORM_CLIENT: &str = "platform-client";

/// The account of a test that needs only one.
pub const ALICE: &str = "alice";

/// A ledger behind a network with faults, and a second connection without any.
#[derive(Debug)]
pub struct Ledger {
    /// The network of [`Ledger::store`].
    pub faults: Faults,
    /// The store under test.
    pub store: Store,
    /// The same store on a way that nothing happens to.
    pub undisturbed: Store,
    /// For looking at the tables, and for tampering with them.
    pub client: Client,
    pub tables: Tables,
    /// Some SKUs: `vm` $0.60/h, `big` $1.20/h, `web` (a service) $0.0208333/h, `volume` $0.10/h and
    /// $0.04/h while off, `tokens` $0.000002 each.
    pub prices: PriceList,
    pub policy: Policy,
    /// The database of the ledger.
    pub dynamodb: DynamoDb,
}

impl Ledger {
    /// A new ledger whose SDK never retries, so the store sees every fault.
    pub async fn new() -> Ledger {
        Ledger::with(Attempts::ONE).await
    }

    /// A new ledger with this number of SDK attempts.
    pub async fn with(attempts: Attempts) -> Ledger {
        let dynamodb = DynamoDb::start();
        let (client, faults) = (dynamodb.client(), Faults::none());
        let tables = Tables::create(&client, &TestTemplate::of_this_repository()).await;
        let names = TableNames {
            ledger: tables.ledger().to_owned(),
            accounts: tables.accounts().to_owned(),
        };
        Ledger {
            store: Store::new(dynamodb.client_through(&faults, attempts), names.clone()),
            undisturbed: Store::new(client.clone(), names),
            faults,
            client,
            tables,
            prices: prices(),
            policy: Policy::default(),
            dynamodb,
        }
    }

    /// A new one with Alice's account, opened at 10:00:00 and credited with so much.
    pub async fn with_credit(amount: &str) -> Ledger {
        let ledger = Ledger::new().await;
        ledger.open(ALICE, "10:00:00").await;
        ledger.credit(ALICE, "pi_first", amount, "10:00:00").await;
        ledger
    }

    /// The names of the tables, as a store is given them.
    #[must_use]
    pub fn names(&self) -> TableNames {
        TableNames {
            ledger: self.tables.ledger().to_owned(),
            accounts: self.tables.accounts().to_owned(),
        }
    }

    /// Puts the price list into the table.
    pub async fn put_prices(&self) {
        let mut prices: Vec<&Price> = self.prices.iter().collect();
        prices.sort_by_key(|price| price.valid_from);
        for price in prices {
            self.undisturbed.put_price(price, price.valid_from).await.expect("a price is added");
        }
    }

    /// Puts a price into the table as an older release stored it, without any check.
    pub async fn put_stored_price(&self, price: &serde_json::Value) {
        let text = |name: &str| price[name].as_str().expect("a text");
        let key = format!("sku#{}#{}", text("sku"), text("valid_from"));
        let mut stored = price.clone();
        stored["valid_from"] = at(text("valid_from")).seconds().into();
        let put = self.client.put_item().table_name(self.tables.accounts());
        let put = put.item("pk", AttributeValue::S("price-list".to_owned()));
        let put = put.item("sk", AttributeValue::S(key));
        let put = put.item("body", AttributeValue::S(stored.to_string()));
        put.send().await.expect("a price is stored");
    }

    /// Sets the reading of a meter as an older release stored it, without any check.
    pub async fn put_stored_reading(&self, account: &str, sku: &str, reading: &str) {
        let key = |text: String| AttributeValue::S(text);
        let update = self.client.update_item().table_name(self.tables.accounts());
        let update = update.key("pk", key(format!("account#{account}")));
        let update = update.key("sk", key(format!("billable#meter#p#{sku}")));
        let update = update.update_expression("SET reading = :reading");
        let update = update.condition_expression("attribute_exists(pk)");
        let update =
            update.expression_attribute_values(":reading", AttributeValue::N(reading.to_owned()));
        update.send().await.expect("a reading is stored");
    }

    /// As if so many sets of labels were counted for that hour of a meter.
    pub async fn put_label_sets(&self, account: &str, sku: &str, hour: Timestamp, sets: u32) {
        let sort_key = format!("label-sets#{:010}#p#{sku}", hour.seconds());
        let put = self.client.put_item().table_name(self.tables.accounts());
        let put = put.item("pk", AttributeValue::S(format!("account#{account}")));
        let put = put.item("sk", AttributeValue::S(sort_key));
        let put = put.item("set_count", AttributeValue::N(sets.to_string()));
        put.send().await.expect("sets are counted");
    }

    /// The parts of a function on this ledger, with these variables and the names of the tables.
    #[must_use]
    pub fn billing(&self, variables: &[(&'static str, &str)]) -> Billing {
        let names = self.names();
        let settings = Settings::read(|variable| {
            let set = variables.iter().find(|(name, _)| *name == variable);
            set.map(|(_, value)| (*value).to_owned()).or_else(|| match variable {
                "LEDGER_TABLE" => Some(names.ledger.clone()),
                "ACCOUNTS_TABLE" => Some(names.accounts.clone()),
                "TOKEN_ISSUER" => Some(TOKEN_ISSUER.to_owned()),
                "STAFF_CLIENTS" => Some(STAFF_CLIENT.to_owned()),
                "PLATFORM_CLIENTS" => Some(PLATFORM_CLIENT.to_owned()),
                // While a test's clock stands still, a limit never ends.
                "STRIPE_REQUESTS_MAX" => Some("10000".to_owned()),
                _ => None,
            })
        });
        Billing::new(self.store.clone(), settings.expect("settings"))
    }

    /// A trigger of this account at that time.
    #[must_use]
    pub fn trigger<'a>(&'a self, account: &'a AccountId, now: Timestamp) -> Trigger<'a> {
        Trigger {
            account,
            prices: &self.prices,
            policy: &self.policy,
            now,
            delivery: TriggerDelivery::Prompt,
        }
    }

    /// The account's newest row.
    pub async fn head(&self, account: &str) -> ChainHead {
        self.undisturbed
            .head(&named(account))
            .await
            .expect("a head is read")
            .expect("the account is open")
    }

    pub async fn open(&self, account: &str, now: &str) -> CommandReceipt {
        let account = named(account);
        let open = self.store.execute(
            self.trigger(&account, at(now)),
            Cause::Command,
            Plan::on_snapshot(&|_: &AccountSnapshot<'_>| Ok(Command::Open)),
        );
        receipt(open.await)
    }

    /// Credits a top-up of whole cents, without tax.
    pub async fn credit(
        &self,
        account: &str,
        payment: &str,
        amount: &str,
        now: &str,
    ) -> CommandReceipt {
        receipt(self.try_credit(account, payment, amount, now).await)
    }

    /// The same, with its result.
    ///
    /// # Errors
    /// As the store.
    pub async fn try_credit(
        &self,
        account: &str,
        payment: &str,
        amount: &str,
        now: &str,
    ) -> Result<CommandOutcome, CommandError> {
        let (account, payment) = (named(account), topup(payment, amount));
        let command = |_: &AccountState| {
            Ok(Command::Credit {
                payment: payment.clone(),
                kind: CreditKind::TopUp,
                plan: None,
                bonus: None,
                also: Vec::new(),
            })
        };
        let trigger = self.trigger(&account, at(now));
        self.store.execute(trigger, Cause::Stripe, Plan::on_state(&command)).await
    }

    /// Gives credit that was not paid for.
    pub async fn grant(
        &self,
        account: &str,
        amount: &str,
        expires_at: &str,
        now: &str,
    ) -> CommandReceipt {
        let account = named(account);
        let bonus =
            BonusGrant { amount: named(amount), expires_at: at(expires_at), excludes: [].into() };
        let command = |_: &AccountSnapshot<'_>| {
            Ok(Command::Grant { bonus: bonus.clone(), reason: "a test".to_owned() })
        };
        receipt(
            self.store
                .execute(
                    self.trigger(&account, at(now)),
                    Cause::Command,
                    Plan::on_snapshot(&command),
                )
                .await,
        )
    }

    /// Creates and starts resources of one SKU.
    pub async fn start(&self, account: &str, sku: &str, ids: &[&str], now: &str) -> CommandReceipt {
        receipt(self.try_start(Cause::Command, account, sku, ids, now).await)
    }

    /// The same, with a cause and with its result.
    ///
    /// # Errors
    /// As the store.
    pub async fn try_start(
        &self,
        cause: Cause,
        account: &str,
        sku: &str,
        ids: &[&str],
        now: &str,
    ) -> Result<CommandOutcome, CommandError> {
        let (account, now) = (named::<AccountId>(account), at(now));
        let (project, new) = (project(&account), new_resources(sku, ids));
        let command = |view: &AccountSnapshot<'_>| resolve::start_new(view, &project, &new, now);
        self.store.execute(self.trigger(&account, now), cause, Plan::on_snapshot(&command)).await
    }

    /// Creates and starts many resources, row by row. The list is kept here: reading it again for
    /// each row would take minutes.
    pub async fn start_many(&self, account: &str, sku: &str, count: usize, now: &str) {
        let (of, now) = (named::<AccountId>(account), at(now));
        let (mut head, project) = (self.head(account).await, project(&of));
        let (list, state) = (BillableList::default(), head.state.clone());
        let view = AccountSnapshot::new(&of, state, list, &self.prices, &self.policy);
        let mut view = view.expect("nothing is billed before").expect("the list agrees");
        // IDs that look generated need no claims.
        let digits = account
            .bytes()
            .fold(0_u64, |digits, byte| (digits * 131 + u64::from(byte)) % 1_000_000_000_000_000);
        let id = |number| format!("srv-{digits:015}{number:05}");
        let ids: Vec<String> = (0..count).map(id).collect();
        for batch in ids.chunks(RESOURCES_PER_ROW_MAX) {
            let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
            let new = new_resources(sku, &batch);
            let command = resolve::start_new(&view, &project, &new, now).expect("a start");
            let event = decide(view.state(), &command, Cause::Command, &self.policy, now);
            let (event, list) = (event.expect("a row"), view.billables());
            let appended = self.store.append(&of, &head, &event, list, &self.policy).await;
            let Ok(Appended::Written(after)) = appended else {
                panic!("not written: {appended:?}")
            };
            view.apply(&event);
            head = after;
        }
    }

    /// Starts resources that exist.
    pub async fn start_again(&self, account: &str, ids: &[&str], now: &str) -> CommandReceipt {
        let (account, now, ids) = (named(account), at(now), resource_ids(ids));
        let command = |view: &AccountSnapshot<'_>| resolve::start(view, &ids, now);
        receipt(
            self.store
                .execute(self.trigger(&account, now), Cause::Command, Plan::on_snapshot(&command))
                .await,
        )
    }

    pub async fn stop(&self, account: &str, ids: &[&str], now: &str) -> CommandReceipt {
        let (account, ids) = (named(account), resource_ids(ids));
        let command = |view: &AccountSnapshot<'_>| resolve::stop(view, &ids);
        receipt(
            self.store
                .execute(
                    self.trigger(&account, at(now)),
                    Cause::Command,
                    Plan::on_snapshot(&command),
                )
                .await,
        )
    }

    pub async fn open_meter(&self, account: &str, sku: &str, now: &str) -> CommandReceipt {
        self.open_meter_at(account, sku, now, &self.prices).await
    }

    /// The same with a price list of one's own.
    pub async fn open_meter_at(
        &self,
        account: &str,
        sku: &str,
        now: &str,
        prices: &PriceList,
    ) -> CommandReceipt {
        let (account, now, sku) = (named(account), at(now), named(sku));
        let project = project(&account);
        let command = |view: &AccountSnapshot<'_>| resolve::open_meter(view, &project, &sku, now);
        let trigger = Trigger { prices, ..self.trigger(&account, now) };
        receipt(self.store.execute(trigger, Cause::Command, Plan::on_snapshot(&command)).await)
    }

    pub async fn settle(&self, account: &str, now: &str) -> SettleReport {
        self.try_settle(account, now)
            .await
            .unwrap_or_else(|fault| panic!("{account} is not settled: {fault}"))
    }

    /// The same, with its result.
    ///
    /// # Errors
    /// As the store.
    pub async fn try_settle(&self, account: &str, now: &str) -> Result<SettleReport, StoreError> {
        self.store.settle(self.trigger(&named(account), at(now))).await
    }
}

/// An ID, an amount, or another value that a test writes as text.
#[must_use]
pub fn named<T: FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

/// A time: `"10:20:00"` on [`DAY`], or in full.
#[must_use]
pub fn at(text: &str) -> Timestamp {
    if text.contains('T') { named(text) } else { named(&format!("{DAY}T{text}Z")) }
}

/// A payment of whole cents, without tax.
#[must_use]
pub fn topup(payment: &str, amount: &str) -> PaymentFacts {
    let credit: Usd = named(amount);
    PaymentFacts {
        payment: named(payment),
        credit,
        received_cents: credit.to_cents().expect("whole cents"),
    }
}

/// The only project of an account.
#[must_use]
pub fn project(account: &AccountId) -> OwnedProject {
    OwnedProject { id: named("p"), account: account.clone() }
}

/// Resources of one SKU, called as their ids.
#[must_use]
pub fn new_resources(sku: &str, ids: &[&str]) -> Vec<NewResource> {
    let new = |id: &&str| NewResource {
        id: named(id),
        sku: named(sku),
        name: (*id).to_owned(),
        rate: None,
    };
    ids.iter().map(new).collect()
}

/// Ids of resources.
#[must_use]
pub fn resource_ids(ids: &[&str]) -> Vec<ResourceId> {
    ids.iter().map(|id| named(id)).collect()
}

/// The receipt of a command that must succeed.
pub fn receipt(done: Result<CommandOutcome, CommandError>) -> CommandReceipt {
    match done {
        Ok(CommandOutcome::Appended(receipt)) => *receipt,
        other => panic!("no row was appended: {other:?}"),
    }
}

fn prices() -> PriceList {
    let price = |sku: &str, unit, kind: &str, rate: &str, idle_rate: &str| Price {
        sku: named(sku),
        unit,
        kind: named(kind),
        rate: named(rate),
        idle_rate: named::<Rate>(idle_rate),
        valid_from: at("2026-01-01T00:00:00Z"),
        display: PriceDisplay::default(),
    };
    let all = [
        price("vm", PriceUnit::Hour, "instance", "0.6", "0"),
        price("big", PriceUnit::Hour, "instance", "1.2", "0"),
        price("web", PriceUnit::Hour, "service", "0.0208333", "0"),
        price("volume", PriceUnit::Hour, "volume", "0.1", "0.04"),
        price("tokens", PriceUnit::Quantity, "tokens", "0.000002", "0"),
    ];
    all.into_iter().collect()
}
