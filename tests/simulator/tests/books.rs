//! The books accept what the product wrote, and notice each thing that is wrong.

mod holds;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tollgate::domain::account::AccountState;
use tollgate::domain::policy::Policy;
use tollgate::domain::settle::due::{due_at, is_billable};
use tollgate::domain::timestamp::Timestamp;
use tollgate_simulator::oracle::account::AccountBooks;
use tollgate_simulator::oracle::amounts::{Micros, cost, scaled};
use tollgate_simulator::oracle::funds::{FundBooks, GrantBook, Wallet};
use tollgate_simulator::oracle::hashes::hash_of;
use tollgate_simulator::oracle::prices::PriceBooks;
use tollgate_simulator::oracle::row::BookedRow;
use tollgate_simulator::oracle::schedule::DemandedSchedule;

/// Rows of every kind, as the product wrote them.
const FIXTURE: &str = include_str!("../../../shared/tests/fixtures/every_kind_of_format_6.json");

/// SKU, rate, rate while off, first second: what the fixture was written with.
const PRICES: [(&str, &str, &str, i64); 10] = [
    ("vm60", "0.60", "0", 0),
    ("vm100", "1.00", "0", 0),
    ("tiny", "0.00216", "0", 0),
    ("app", "0.10", "0", 0),
    ("x", "1.00", "0", 0),
    ("rack", "100", "0", 0),
    ("domain", "0.50", "0", 0),
    ("volume", "0.20", "0.10", 0),
    ("tokens", "0.00000015", "0", 0),
    ("call", "1", "0", 0),
];

/// A price that staff set for the account "hours".
const NEW_PRICE: (&str, &str, &str, i64) = ("vm60", "0.90", "0", 1_795_352_400);

fn prices(account: &Value) -> PriceBooks {
    let new = (account == "hours").then_some(NEW_PRICE);
    let prices = PRICES.into_iter().chain(new);
    let items = prices.map(|(sku, rate, idle_rate, valid_from)| {
        let body =
            json!({"sku": sku, "rate": rate, "idle_rate": idle_rate, "valid_from": valid_from});
        json!({"body": {"S": body.to_string()}})
    });
    let items: Vec<Value> = items.collect();
    let mut prices = PriceBooks::default();
    prices.add(&items).unwrap();
    prices
}

/// The rows of each account as items. Lines in chunks are left out, with what follows them.
fn chains() -> BTreeMap<String, Vec<Value>> {
    let rows: Vec<Value> = serde_json::from_str(FIXTURE).unwrap();
    let mut chains: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut cut: Vec<String> = Vec::new();
    for row in rows {
        let account = row["account"].as_str().unwrap().to_owned();
        if row["chunks"].is_array() {
            cut.push(account.clone());
        }
        if cut.contains(&account) {
            continue;
        }
        let item = json!({
            "account": {"S": account},
            "seq": {"N": row["seq"]},
            "at": {"N": row["at"]},
            "type": {"S": row["type"]},
            "amount": {"N": row["amount"]},
            "balance": {"N": row["balance"]},
            "body": {"S": row["body"]},
        });
        chains.entry(account).or_default().push(item);
    }
    chains
}

/// The first rule that rows break.
fn broken(rows: &[Value]) -> Option<String> {
    let (mut books, prices) = (AccountBooks::default(), prices(&rows[0]["account"]["S"]));
    rows.iter().find_map(|row| books.add(row, &prices).err().map(|why| format!("{why}: {row}")))
}

#[test]
fn books_accept_rows_of_every_kind() {
    for (account, rows) in chains() {
        assert_eq!(broken(&rows), None, "{account}");
    }
}

#[test]
fn costs_are_rounded_half_to_even() {
    let hourly = |rate, seconds| cost(scaled(rate, 12).unwrap(), seconds);
    assert_eq!(hourly("0.6", 2_400), 400_000);
    assert_eq!(hourly("0.0018", 1), 0);
    assert_eq!(hourly("0.0018", 3), 2);
    assert_eq!(hourly("0.0018", 5), 2);
    assert!(scaled("0.0000001", 6).is_err());
}

/// The first rows of a chain, to be changed.
struct Tampered {
    rows: Vec<Value>,
}

impl Tampered {
    /// Rows up to this number.
    fn up_to(account: &str, seq: usize) -> Self {
        let mut rows = chains().remove(account).unwrap();
        rows.truncate(seq + 1);
        assert_eq!(rows.len(), seq + 1);
        Self { rows }
    }

    fn last(&mut self) -> &mut Value {
        self.rows.last_mut().unwrap()
    }

    /// Changes the body of the last row.
    fn body(mut self, change: impl FnOnce(&mut Value)) -> Self {
        let row = self.last();
        let mut body: Value = serde_json::from_str(row["body"]["S"].as_str().unwrap()).unwrap();
        change(&mut body);
        row["body"]["S"] = body.to_string().into();
        self
    }

    /// Sets values in the body of the last row.
    fn with<const N: usize>(self, changes: [(&str, Value); N]) -> Self {
        self.body(|body| {
            for (path, value) in changes {
                let (parent, name) = path.rsplit_once('/').unwrap();
                let parent = body.pointer_mut(parent).unwrap_or_else(|| panic!("{path}"));
                match name.parse::<usize>() {
                    Ok(place) => parent[place] = value,
                    Err(_) => parent[name] = value,
                }
            }
        })
    }

    /// Sets a value in the state that the last row but one stored.
    fn with_state_before(mut self, name: &str, value: Value) -> Self {
        let last = self.rows.pop().unwrap();
        let mut changed = self.with([(&format!("/s/{name}"), value)]);
        changed.rows.push(last);
        changed
    }

    /// Sets an attribute of the last row.
    fn attribute(mut self, name: &str, text: &str) -> Self {
        let kind = if name == "type" { "S" } else { "N" };
        self.last()[name] = json!({kind: text});
        self
    }

    /// Replaces text in the bodies of all rows.
    fn everywhere(mut self, from: &str, to: &str) -> Self {
        for row in &mut self.rows {
            row["body"]["S"] = row["body"]["S"].as_str().unwrap().replace(from, to).into();
        }
        self
    }

    /// Leaves out the last row but one.
    fn without_the_one_before(mut self) -> Self {
        self.rows.remove(self.rows.len() - 2);
        self
    }

    /// Writes the last row once more, with this balance after it.
    fn twice(mut self, balance: &str) -> Self {
        self.rows.push(self.rows.last().unwrap().clone());
        self.attribute("balance", balance)
    }

    /// Numbers the rows anew and lets each name the hash of the one before.
    fn linked(mut self) -> Self {
        let mut before = String::new();
        for (seq, row) in self.rows.iter_mut().enumerate() {
            let mut body: Value = serde_json::from_str(row["body"]["S"].as_str().unwrap()).unwrap();
            body["p"] = before.into();
            row["body"]["S"] = body.to_string().into();
            row["seq"]["N"] = seq.to_string().into();
            let account = row["account"]["S"].as_str().unwrap();
            before = hash_of(account, seq as u64, row["body"]["S"].as_str().unwrap());
        }
        self
    }

    #[track_caller]
    fn breaks(self, rule: &str) {
        let rows = self.linked().rows;
        let before = broken(&rows[..rows.len() - 1]);
        assert_eq!(before, None, "an earlier row is wrong");
        let why = broken(&rows).unwrap_or_else(|| panic!("nothing notices: {rule}"));
        assert!(why.contains(rule), "{why}, not: {rule}");
    }
}

/// A row whose amounts agree with each other, and are wrong.
#[test]
fn wrong_amount_is_noticed() {
    // A millionth too much.
    Tampered::up_to("respites", 2)
        .attribute("amount", "-1.000001")
        .attribute("balance", "4.999999")
        .with([
            ("/x/e/started/lines/0/3", json!("-1.000001")),
            ("/x/f/0/1", json!("-1.000001")),
            ("/s/c", json!("4.999999")),
            ("/s/p/u", json!("1.000001")),
        ])
        .breaks("the row moves");
    // Another rate than staff set.
    Tampered::up_to("respites", 2)
        .attribute("amount", "-0.5")
        .attribute("balance", "5.5")
        .with([
            ("/x/e/started/lines/0/1", json!("0.5")),
            ("/x/e/started/lines/0/3", json!("-0.5")),
            ("/x/f/0/1", json!("-0.5")),
            ("/s/c", json!("5.5")),
            ("/s/p/u", json!("0.5")),
            ("/s/b/r", json!("0.5")),
        ])
        .breaks("the row moves");
    // The right amount at a wrong rate.
    Tampered::up_to("respites", 2)
        .with([("/x/e/started/lines/0/1", json!("1.1"))])
        .breaks("the lines are");
    // The old price in the hour of the new one.
    let rows = Tampered::up_to("hours", 10);
    rows.with([("/x/e/u/l/0/1", json!("0.6"))]).breaks("the lines are");
    Tampered::up_to("hours", 7)
        .with([("/x/e/metered/lines/0/r", json!("0.00000016"))])
        .breaks("a meter has another price");
    Tampered::up_to("hours", 11)
        .with([("/x/e/metered/lines/0/f", json!("12345678"))])
        .breaks("a meter is billed from");
}

#[test]
fn wrong_time_is_noticed() {
    let usage = || Tampered::up_to("respites", 8);
    usage().with([("/x/e/u/t", json!(1_795_348_835))]).breaks("credit and budgets pay more");
    usage().with([("/x/e/u/t", json!(1_795_348_837))]).breaks("the credit does not pay a");
    usage().with([("/x/e/u/f", json!(1_795_348_801))]).breaks("twice or not at all");
    usage().with([("/x/e/u/l", json!([]))]).breaks("the lines are");
    usage().with([("/x/e/u/n", json!(["a"]))]).breaks("is not billed and not off");
    // Nothing else can be paid, so it would be kept for free.
    Tampered::up_to("failed_starts", 5)
        .with([("/x/e/u/n", json!(["v"]))])
        .breaks("is not billed and not off");
    Tampered::up_to("coming_back", 11)
        .with([("/x/e/u/l/0/2", json!(3_001))])
        .breaks("the lines are");
}

#[test]
fn wrong_budget_is_noticed() {
    // The month has cost more.
    Tampered::up_to("budgets", 3)
        .with([("/x/e/budget_set/u", json!("0.4")), ("/s/bu/0/u", json!("0.4"))])
        .breaks("has cost 500000 so far");
    Tampered::up_to("budgets", 5)
        .with([("/x/e/held/shares/0/1", json!("0.700001")), ("/s/h/0/f/0/1", json!("0.700001"))])
        .breaks("whose budget has 700000 left");
    let usage = || Tampered::up_to("budgets", 7);
    usage().with([("/x/e/u/t", json!(1_795_347_721))]).breaks("do not pay to");
    usage().with([("/x/e/u/t", json!(1_795_347_719))]).breaks("pay more than to");
    usage().with([("/x/s/0/a", json!("0.6"))]).breaks("of budgets, not");
    usage().with([("/x/s/0/t", json!(80))]).breaks("of budgets, not");
    usage().with([("/s/bu/0/u", json!("1.1"))]).breaks("the state says");
    // Its credit goes on.
    Tampered::up_to("budgets", 8)
        .with([("/x/e/stopped/why", json!("credit"))])
        .breaks("pays another second");
}

#[test]
fn wrong_fund_is_noticed() {
    // Paid credit pays although a grant may.
    Tampered::up_to("hours", 4)
        .with([("/x/e/started/lines/0/4", json!(0)), ("/x/f/0/0", json!(0))])
        .breaks("the row moves");
    // A grant gets back what paid credit paid.
    Tampered::up_to("failed_starts", 6)
        .with([("/x/e/start_failed/lines/0/4", json!(0)), ("/x/f/0/0", json!(0))])
        .breaks("the row moves");
    // A grant that ended pays no more.
    Tampered::up_to("kept_for_free", 9)
        .everywhere("1795996800", "1795348800")
        .breaks("grant 1 has ended and is still there");
    // It ends at its time, with all that is left.
    Tampered::up_to("staff", 9)
        .attribute("at", "1795348799")
        .with([("/t", json!(1_795_348_799))])
        .breaks("grant 1 ends before its time");
    Tampered::up_to("staff", 9)
        .attribute("amount", "-19.8")
        .attribute("balance", "12.750001")
        .with([("/x/f/0/1", json!("-19.8"))])
        .breaks("the row moves");
    // What the grant excludes, it does not pay.
    Tampered::up_to("hours", 6)
        .everywhere(r#""e":["domain"]"#, r#""e":["vm100"]"#)
        .without_the_one_before()
        .attribute("balance", "54.7")
        .breaks("the row moves");
}

#[test]
fn wrong_payment_is_noticed() {
    let refund = || Tampered::up_to("reversals", 3);
    // A cent more than the share of the refund.
    refund()
        .attribute("amount", "-12.01")
        .attribute("balance", "117.99")
        .with([("/x/f/0/1", json!("-10.01")), ("/x/e/taken_back/credit", json!("10.01"))])
        .breaks("the row moves");
    refund().with([("/x/e/taken_back/a/t", json!("9"))]).breaks("are taken back");
    refund().with([("/x/e/taken_back/of/c", json!("90"))]).breaks("was credited as");
    refund().twice("106").breaks("has two rows");
    Tampered::up_to("disputes", 7)
        .attribute("amount", "60")
        .attribute("balance", "60")
        .with([("/x/f/1/1", json!("20"))])
        .breaks("the row moves");
    Tampered::up_to("payments", 3)
        .with([("/x/e/credited/received_cents", json!(2_499))])
        .breaks("more is credited than was received");
    Tampered::up_to("staff", 1)
        .with([("/x/g/0/r", json!("20"))])
        .breaks("comes with money beside the moves");
}

#[test]
fn refill_that_nobody_agreed_to_is_noticed() {
    let begun = || Tampered::up_to("refills", 2);
    begun().with([("/x/e/refill_begun/a", json!("26"))]).breaks("is agreed");
    begun().with([("/x/e/refill_begun/c", json!("pm_2"))]).breaks("from another card");
    Tampered::up_to("refills", 5)
        .with_state_before("r/o", json!({"n": 1}))
        .breaks("a refill beside another");
    Tampered::up_to("refills", 5).with_state_before("r/m", json!("24.99")).breaks("in a month");
    Tampered::up_to("refills", 5).with_state_before("r/a", Value::Null).breaks("nobody agreed to");
    // A card event wants a refill at once.
    Tampered::up_to("refills_of_the_default_card", 2)
        .with([("/x/w", json!({"now": {"a": "25", "y": "threshold"}}))])
        .breaks("a card event wants a refill");
}

#[test]
fn wrong_respite_is_noticed() {
    let wanted = || Tampered::up_to("refills", 1);
    wanted().with([("/s/r/ru/t", json!(1_795_345_801))]).breaks("a respite is");
    let wanted_again = || Tampered::up_to("refills", 4);
    wanted_again().with([("/s/r/ru/t", json!(1_795_349_520))]).breaks("a second respite");
    wanted_again().with([("/s/r/ru", Value::Null)]).breaks("ends without a credit");
}

#[test]
fn start_while_frozen_is_noticed() {
    let started = Tampered::up_to("failed_starts", 3).with_state_before("f", json!({"s": "yes"}));
    started.breaks("while the account is frozen");
}

#[test]
fn wrong_give_back_is_noticed() {
    let stop = || Tampered::up_to("failed_starts", 7);
    // A second too much.
    stop()
        .attribute("amount", "0.083361")
        .attribute("balance", "24.733361")
        .with([
            ("/x/e/stopped/lines/0/2", json!(3_001)),
            ("/x/e/stopped/lines/0/3", json!("0.083361")),
            ("/x/f/0/1", json!("0.083361")),
        ])
        .breaks("the row moves");
    stop().twice("24.816666").breaks("the row moves");
    Tampered::up_to("resources", 7).twice("99.830453").breaks("the row moves");
    Tampered::up_to("resources", 8).twice("99.763786").breaks("ends once more");
    Tampered::up_to("failed_starts", 6).twice("25.75").breaks("the start of a fails twice");
    // A suspension by staff gives back, too.
    Tampered::up_to("staff", 5)
        .attribute("amount", "0")
        .attribute("balance", "32.150001")
        .body(|body| {
            body["x"]["f"] = json!([]);
            body["x"]["e"]["suspended"]["lines"] = json!([]);
        })
        .breaks("the row moves");
    // A start that failed is given back in full, and once.
    Tampered::up_to("failed_starts", 6)
        .attribute("amount", "1.6")
        .attribute("balance", "25.15")
        .with([("/x/e/start_failed/lines/0/3", json!("1.6")), ("/x/f/0/1", json!("1.6"))])
        .breaks("the row moves");
    Tampered::up_to("failed_starts", 12)
        .attribute("amount", "0.083332")
        .attribute("balance", "24.783332")
        .with([("/x/f/0/1", json!("0.083332"))])
        .breaks("the row moves");
}

#[test]
fn what_is_kept_for_free_gets_nothing_back() {
    let at = 1_795_351_500;
    let deleted = |lines: Value, amount: &str, balance: &str, funds: Value| {
        let mut rows = Tampered::up_to("kept_for_free", 9);
        let body: Value = serde_json::from_str(rows.last()["body"]["S"].as_str().unwrap()).unwrap();
        let mut state = body["s"].clone();
        state["b"] = json!({"k": {"instance": 1}, "r": "0.6", "q": 4});
        let change = json!({"resources": [{"id": "v"}], "lines": lines});
        let event = json!({"e": {"resources_deleted": change}, "f": funds});
        let mut new = row("resources_deleted", at, amount, balance, &event, &state);
        new["account"] = rows.last()["account"].clone();
        rows.rows.push(new);
        rows
    };
    let right = deleted(json!([["v", "0.1", 0, "0", []]]), "0", "17.8", json!([]));
    assert_eq!(broken(&right.linked().rows), None);
    let line = json!([["v", "0.1", 900, "0.025", 1]]);
    deleted(line, "0.025", "17.825", json!([[1, "0.025"]])).breaks("the row moves");
}

#[test]
fn wrong_start_or_suspension_is_noticed() {
    // $4.90 are too little to start.
    let mut poor = Tampered::up_to("respites", 1)
        .attribute("amount", "4.9")
        .attribute("balance", "4.9")
        .with([
            ("/x/e/credited/credit", json!("4.9")),
            ("/x/f/0/1", json!("4.9")),
            ("/s/c", json!("4.9")),
        ]);
    poor.rows.extend(Tampered::up_to("respites", 2).rows.pop());
    poor.attribute("balance", "3.9").breaks("starts with 4900000");
    // The credit pays another hour.
    Tampered::up_to("hours", 9)
        .attribute("type", "suspended")
        .attribute("amount", "0")
        .attribute("balance", "49.748148")
        .body(|body| {
            let suspended = json!({"as_of": 1_795_352_400, "reason": "credit", "lines": []});
            body["x"] = json!({"e": {"suspended": suspended}});
        })
        .breaks("the credit pays another second");
    // Something is owed.
    Tampered::up_to("respites", 14)
        .without_the_one_before()
        .attribute("balance", "6")
        .breaks("it is resumed, and 23333 is owed");
    Tampered::up_to("coming_back", 8)
        .with([("/x/k/r", json!("0.1")), ("/s/s/suspended/k", json!({"r": "0.1"}))])
        .breaks("a charge without time");
    Tampered::up_to("respites", 9).with([("/x/o", json!("0.123334"))]).breaks("more is owed");
    Tampered::up_to("respites", 19).with([("/x/o", json!("0.03"))]).breaks("more is owed");
}

#[test]
fn wrong_state_is_noticed() {
    for (path, value, rule) in [
        ("/s/c", json!("9.7"), "paid credit is 9800000"),
        ("/s/g/0/r", json!("18.5"), "grant 1 is"),
        ("/s/g/0/e", json!([]), "grant 1 is"),
        ("/s/gn", json!(2), "there were 1 grants"),
        ("/s/p/u", json!("0.1"), "was paid of the period"),
        ("/s/p/t", json!(1_795_348_801), "the period is"),
        ("/s/b/r", json!("0.9"), "all together cost"),
        ("/s/b/q", json!(8), "the changes add up to 7"),
        ("/s/b/k", json!({"instance": 2, "volume": 1}), "run, and the state says"),
        ("/s/b/i", json!(1), "are kept, and the state says"),
        ("/s/o", json!("1"), "is owed, not"),
        ("/s/s", json!("closed"), "the account is Good"),
        ("/t", json!(1), "the body has the time"),
    ] {
        Tampered::up_to("kept_for_free", 4).with([(path, value)]).breaks(rule);
    }
    for (path, value) in [
        ("/s/s/suspended/x", json!(1_795_608_481)),
        ("/s/s/suspended/l", json!("1")),
        ("/s/s/suspended/y", json!("staff")),
    ] {
        Tampered::up_to("respites", 9).with([(path, value)]).breaks("the account is Suspended");
    }
    Tampered::up_to("respites", 2).attribute("type", "restored").breaks("the body says started");
    Tampered::up_to("respites", 2)
        .attribute("amount", "1")
        .attribute("balance", "7")
        .breaks("the amount is 1000000");
}

#[test]
fn row_that_no_known_member_of_staff_made_is_noticed() {
    let named = |rows: &[Value]| -> Option<String> {
        let mut books = AccountBooks::default();
        books.names_staff = true;
        let prices = prices(&rows[0]["account"]["S"]);
        rows.iter().find_map(|row| books.add(row, &prices).err())
    };
    let mut chains = chains();
    let mut rows = chains.remove("by_staff").unwrap();
    assert_eq!(named(&rows), None);
    let body = rows[2]["body"]["S"].as_str().unwrap().replace("staff-1", "staff-2");
    rows[2]["body"]["S"] = body.into();
    let why = named(&rows).unwrap();
    assert!(why.contains("frozen was done by nobody"), "{why}");
    let mut refunds = chains.remove("refunds").unwrap();
    assert_eq!(named(&refunds), None);
    let begun = refunds.iter_mut().find(|row| row["type"]["S"] == "refund_pending").unwrap();
    begun["body"]["S"] = begun["body"]["S"].as_str().unwrap().replace("staff-1", "staff-2").into();
    let why = named(&refunds).unwrap();
    assert!(why.contains("taken_back was done by nobody"), "{why}");
    let why = named(&chains.remove("staff").unwrap()).unwrap();
    assert!(why.contains("granted was done by nobody"), "{why}");
}

#[test]
fn changed_rows_are_noticed() {
    let rows = chains().remove("respites").unwrap();
    let mut changed = rows.clone();
    let body = changed[3]["body"]["S"].as_str().unwrap().replace("a loss", "a gain");
    changed[3]["body"]["S"] = body.into();
    let why = broken(&changed).unwrap();
    assert!(why.contains("names another") && why.contains(r#""seq":{"N":"4"}"#), "{why}");

    let mut books = AccountBooks::default();
    for row in &rows {
        books.add(row, &prices(&Value::Null)).unwrap();
    }
    let read = |rows: &[Value]| -> Vec<BookedRow> {
        rows.iter().map(|row| BookedRow::read(row).unwrap()).collect()
    };
    books.hashes.check_unchanged(&read(&rows)).unwrap();
    let last = rows.len() - 1;
    changed = rows.clone();
    changed[last]["body"]["S"] = format!("{} ", rows[last]["body"]["S"].as_str().unwrap()).into();
    let why = books.hashes.check_unchanged(&read(&changed)).unwrap_err();
    assert!(why.contains("row 19 was changed"), "{why}");
    assert!(books.hashes.check_unchanged(&read(&rows[..last])).is_err());
}

#[test]
fn changed_price_is_noticed() {
    let item = |rate: &str| {
        let body = json!({"sku": "vm", "rate": rate, "valid_from": 3_600});
        json!({"body": {"S": body.to_string()}})
    };
    let mut prices = PriceBooks::default();
    prices.add(&[item("1")]).unwrap();
    assert_eq!(prices.clone().add(&[item("1")]), Ok(()));
    assert!(prices.clone().add(&[item("2")]).unwrap_err().contains("was changed"));
    assert!(prices.add(&[]).unwrap_err().contains("was changed"));
}

/// The product's own deadlines, for each state of the fixture.
#[test]
fn schedules_are_those_of_the_product() {
    let mut with_deadline = 0;
    for row in chains().into_values().flatten() {
        let body: Value = serde_json::from_str(row["body"]["S"].as_str().unwrap()).unwrap();
        let at = body["t"].as_i64().unwrap();
        let state: AccountState = serde_json::from_value(body["s"].clone()).unwrap();
        let state = AccountState { at: Timestamp::from_seconds(at).unwrap(), ..state };
        let demanded = DemandedSchedule::of(&body["s"], at).unwrap();
        let due = due_at(&state, &Policy::default()).map(Timestamp::seconds);
        assert_eq!(demanded.due_at, due, "{row}");
        assert_eq!(demanded.is_billable, is_billable(&state), "{row}");
        with_deadline += u32::from(due.is_some());
    }
    assert!(with_deadline > 100, "{with_deadline}");
}

#[test]
fn wrong_schedule_is_noticed() {
    let state = json!({
        "p": {"f": 3_600, "t": 7_201},
        "b": {"k": {"instance": 1}},
        "g": [{"n": 1, "r": "1", "x": 9_000}],
    });
    let demanded = DemandedSchedule::of(&state, 3_600).unwrap();
    assert_eq!(demanded, DemandedSchedule { is_billable: true, due_at: Some(7_201) });
    let item = |due_at: &str, shard: &str| {
        json!({
            "billable_shard": {"S": shard},
            "due_shard": {"S": shard},
            "due_at": {"N": due_at},
        })
    };
    let shard = "2";
    assert_eq!(demanded.check("acme", &item("7201", shard)), Ok(()));
    for wrong in [
        item("9000", shard),
        item("7201", "1"),
        json!({"billable_shard": {"S": shard}}),
        json!({"due_shard": {"S": shard}, "due_at": {"N": "7201"}}),
        Value::Null,
    ] {
        assert!(demanded.check("acme", &wrong).is_err(), "{wrong}");
    }
}

/// A full hour.
const HOUR: i64 = 1_795_345_200;

/// A row by hand, without its number: type, time, amount, balance, event, state.
fn row(kind: &str, at: i64, amount: &str, balance: &str, event: &Value, state: &Value) -> Value {
    let body = json!({"v": 5, "p": "", "t": at, "x": event, "s": state});
    json!({
        "account": {"S": "acme"},
        "seq": {"N": "0"},
        "at": {"N": at.to_string()},
        "type": {"S": kind},
        "amount": {"N": amount},
        "balance": {"N": balance},
        "body": {"S": body.to_string()},
    })
}

fn opened_with(credit: &str) -> Vec<Value> {
    let change =
        json!({"payment": "pi_1", "kind": "top_up", "credit": credit, "received_cents": 10_000});
    let paid = json!({"e": {"credited": change}, "f": [[0, credit, "0"]]});
    vec![
        row("opened", HOUR, "0", "0", &json!({"e": "opened"}), &json!({})),
        row("topup", HOUR, credit, credit, &paid, &json!({"c": credit})),
    ]
}

fn started(id: &str, sku: &str, line: &Value, through: i64) -> Value {
    let resource = json!({"id": id, "sku": sku, "kind": "instance", "status": "running"});
    let how = "started";
    json!({"started": {"resources": [resource], "how": how, "lines": [line], "through": through}})
}

/// Two grants: the first ends late and excludes the SKU x, the second ends soon.
fn two_grants() -> Tampered {
    let grants = |first: (&str, &str), second: (&str, &str)| {
        let (soon, late) = (HOUR + 36_000, HOUR + 72_000);
        json!([
            {"n": 1, "k": "bonus", "a": "6", "r": first.0, "u": first.1, "x": late, "e": ["x"]},
            {"n": 2, "k": "bonus", "a": "3", "r": second.0, "u": second.1, "x": soon},
        ])
    };
    let (first, second) = (&grants(("0", "0"), ("0", "0"))[0], &grants(("0", "0"), ("0", "0"))[1]);
    let given = |number: u32, grant: &Value, amount: &str| {
        let change = json!({"granted": {"number": number}});
        json!({"e": change, "g": [grant], "f": [[number, amount, "0"]]})
    };
    let state = |grants: Value, billed: Value| {
        let period = json!({"f": HOUR, "t": HOUR + 3_600});
        json!({"c": "10", "g": grants, "gn": 2, "p": period, "b": billed})
    };
    let line = |id: &str| json!([id, "1", 3_600, "-1", 2]);
    let start = |id: &str, sku: &str| json!({"e": started(id, sku, &line(id), HOUR + 3_600), "f": [[2, "-1"]]});
    let (one, two) = (
        json!({"k": {"instance": 1}, "r": "1", "q": 4}),
        json!({"k": {"instance": 2}, "r": "2", "q": 9}),
    );
    let mut rows = opened_with("10");
    let after_first = json!({"c": "10", "g": [grants(("6", "0"), ("3", "0"))[0]], "gn": 1});
    let after_both = json!({"c": "10", "g": grants(("6", "0"), ("3", "0")), "gn": 2});
    let after_one = state(grants(("6", "0"), ("2", "1")), one);
    let after_two = state(grants(("6", "0"), ("1", "2")), two.clone());
    let mut after_hour = state(grants(("5", "1"), ("0", "1")), two);
    after_hour["p"] = json!({"f": HOUR + 3_600, "t": HOUR + 7_200});
    let lines = json!([["a", "1", 3_600, "-1", 1], ["b", "1", 3_600, "-1", 2]]);
    let usage = json!({"f": HOUR + 3_600, "t": HOUR + 7_200, "l": lines});
    let usage = json!({"e": {"u": usage}, "f": [[1, "-1"], [2, "-1"]]});
    rows.extend([
        row("bonus", HOUR, "6", "16", &given(1, first, "6"), &after_first),
        row("bonus", HOUR, "3", "19", &given(2, second, "3"), &after_both),
        row("started", HOUR, "-1", "18", &start("a", "vm100"), &after_one),
        row("started", HOUR, "-1", "17", &start("b", "x"), &after_two),
        row("usage", HOUR + 3_600, "-2", "15", &usage, &after_hour),
    ]);
    Tampered { rows }
}

#[test]
fn wrong_order_of_payment_is_noticed() {
    assert_eq!(broken(&two_grants().linked().rows), None);
    // What one grant can pay comes before what two can pay.
    two_grants()
        .with([
            ("/x/e/u/l/0/4", json!(2)),
            ("/x/e/u/l/1/4", json!(0)),
            ("/x/f", json!([[0, "-1"], [2, "-1"]])),
        ])
        .breaks("the row moves");
    // The grant that ends first pays first.
    let mut rows = two_grants();
    rows.rows.truncate(5);
    rows.with([("/x/e/started/lines/0/4", json!(1)), ("/x/f/0/0", json!(1))])
        .breaks("the row moves");
}

#[test]
fn start_must_leave_credit_for_ten_minutes() {
    let at = HOUR + 3_420;
    let start = |credit: &str, left: &str| {
        let mut rows = opened_with(credit);
        let line = json!(["a", "100", 180, "-5", 0]);
        let event = json!({"e": started("a", "rack", &line, HOUR + 3_600), "f": [[0, "-5"]]});
        let state = json!({
            "c": left,
            "p": {"f": at, "t": HOUR + 3_600, "u": "5"},
            "b": {"k": {"instance": 1}, "r": "100", "q": 2},
        });
        rows.push(row("started", at, "-5", left, &event, &state));
        Tampered { rows }
    };
    assert_eq!(broken(&start("21.666667", "16.666667").linked().rows), None);
    start("21.666", "16.666").breaks("too little for ten minutes");
}

#[test]
fn expired_grant_pays_nothing_and_gets_nothing() {
    let grant = |expires_at: i64, left: Micros, used: Micros| GrantBook {
        kind: "bonus".to_owned(),
        amount: 10,
        left,
        used,
        given_at: None,
        expires_at,
        excludes: BTreeSet::from(["x".to_owned()]),
        payment: None,
        is_void: false,
    };
    let funds = FundBooks {
        paid: 5,
        paid_used: 2,
        grants: BTreeMap::from([(1, grant(100, 4, 3)), (2, grant(200, 6, 1))]),
        held: BTreeMap::new(),
    };
    let before = Wallet::at(&funds, 99);
    let mut after = Wallet::at(&funds, 100);
    assert_eq!((before.eligible("vm"), after.eligible("vm")), (15, 11));
    assert_eq!((before.eligible("x"), before.eligible_grants("x")), (5, 0));
    assert_eq!(before.clone().pay("vm", 12), Some(BTreeMap::from([(1, -4), (2, -6), (0, -2)])));
    assert_eq!(before.clone().pay("vm", 16), None);
    assert_eq!(after.pay("vm", 8), Some(BTreeMap::from([(2, -6), (0, -2)])));
    assert_eq!(before.clone().give_back("vm", 5), BTreeMap::from([(1, 3), (2, 1), (0, 1)]));
    // No more than was paid, and what the expired grant paid is lost.
    let mut after = Wallet::at(&funds, 100);
    assert_eq!(after.give_back("vm", 9), BTreeMap::from([(2, 1), (0, 2)]));
    // Paid credit comes first for what the grants exclude.
    assert_eq!(before.clone().give_back("x", 3), BTreeMap::from([(0, 2), (1, 1)]));
    let in_debt = FundBooks { paid: -5, ..funds };
    assert_eq!(Wallet::at(&in_debt, 99).eligible("vm"), 5);
}
