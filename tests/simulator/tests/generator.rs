//! Random calls of the kinds that the product makes, on few keys, so that conditions hold and fail.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Delete, Put, ReturnValue, ReturnValuesOnConditionCheckFailure,
    Select, TransactWriteItem, Update,
};
use fastrand::Rng;

use crate::sdk::{GetCall, QueryCall, SdkCall, SdkItem};

const ACCOUNTS: [&str; 3] = ["a", "b", "account#c"];
/// Their UTF-8 order differs from that of UTF-16.
const SORT_KEYS: [&str; 6] =
    ["profile", "schedule", "project#a", "project#\u{ffee}", "project#\u{1f600}", "meter#m#cpu"];
const NUMBERS: [&str; 14] = [
    "0",
    "1",
    "2",
    "10",
    "9",
    "-3",
    "0.5",
    "1.50",
    "-0.001",
    "1e3",
    "12345678901234567890123456789012345678",
    "-99999999999999999999999999999999999999",
    "0.00000000000000000000000000000000000001",
    "100000000000000000000",
];
const TEXTS: [&str; 5] = ["", "a", "ab", "\u{ffee}", "\u{1f600}"];
/// `at`, `owner` and `type` are reserved words.
const ATTRIBUTES: [&str; 9] =
    ["reading", "version", "balance", "at", "owner", "type", "expires", "answer", "taken"];

#[derive(Debug)]
pub(crate) struct Generator {
    pub(crate) rng: Rng,
    pub(crate) ledger: String,
    pub(crate) accounts: String,
    /// The last query whose answer was cut, and where it goes on.
    pub(crate) cut: Option<(QueryCall, SdkItem)>,
    /// Earlier transactions with their tokens.
    tokens: Vec<(Vec<TransactWriteItem>, String)>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Put,
    Update,
    Delete,
    Check,
}

/// An expression's placeholders.
#[derive(Default)]
struct Names {
    names: HashMap<String, String>,
    values: SdkItem,
}

impl Names {
    fn value(&mut self, value: AttributeValue) -> String {
        let name = format!(":v{}", self.values.len());
        self.values.insert(name.clone(), value);
        name
    }

    fn name(&mut self, rng: &mut Rng, name: &str) -> String {
        // A reserved word without its placeholder is refused: rarely, or all else would be, too.
        let is_reserved = ["at", "owner", "type"].contains(&name);
        if rng.u32(0..100) < if is_reserved { 1 } else { 30 } {
            return name.to_owned();
        }
        self.names.insert(format!("#{name}"), name.to_owned());
        format!("#{name}")
    }

    /// Rarely with a placeholder that nothing uses.
    fn finish(mut self, rng: &mut Rng) -> (Option<HashMap<String, String>>, Option<SdkItem>) {
        // In a transaction the engine ignores placeholders where there is no expression at all.
        if !self.names.is_empty() && !self.values.is_empty() {
            match rng.u32(0..100) {
                0 => drop(self.names.insert("#unused".to_owned(), "x".to_owned())),
                1 => drop(self.values.insert(":unused".to_owned(), AttributeValue::Bool(true))),
                _ => {}
            }
        }
        let names = Some(self.names).filter(|names| !names.is_empty());
        (names, Some(self.values).filter(|values| !values.is_empty()))
    }
}

impl Generator {
    pub(crate) fn new(seed: u64, ledger: &str, accounts: &str) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            ledger: ledger.to_owned(),
            accounts: accounts.to_owned(),
            cut: None,
            tokens: Vec::new(),
        }
    }

    pub(crate) fn call(&mut self) -> SdkCall {
        match self.rng.u32(0..100) {
            0..18 => SdkCall::Get(self.get()),
            18..48 => SdkCall::Query(self.query()),
            // Transactions cost the engine the most time.
            48..94 => {
                let kind = self.pick(&[Kind::Put, Kind::Update, Kind::Update, Kind::Delete]);
                let returns = match kind {
                    Kind::Update => self.pick(&[
                        ReturnValue::None,
                        ReturnValue::AllOld,
                        ReturnValue::AllNew,
                        ReturnValue::UpdatedOld,
                        ReturnValue::UpdatedNew,
                    ]),
                    Kind::Put | Kind::Delete | Kind::Check => {
                        self.pick(&[ReturnValue::None, ReturnValue::AllOld])
                    }
                };
                SdkCall::Write(Box::new(self.write(kind)), returns)
            }
            _ => self.transaction(),
        }
    }

    fn transaction(&mut self) -> SdkCall {
        if !self.tokens.is_empty() && self.rng.u32(0..10) == 0 {
            let (mut writes, token) = self.rng.choice(&self.tokens).expect("one token").clone();
            if self.rng.u32(0..4) == 0 {
                writes.pop();
                writes.push(self.write(Kind::Put));
            }
            return SdkCall::Transact(writes, Some(token));
        }
        let kinds = [Kind::Put, Kind::Update, Kind::Delete, Kind::Check];
        let count = self.rng.usize(1..5);
        let writes: Vec<_> = (0..count)
            .map(|_| {
                let kind = self.pick(&kinds);
                self.write(kind)
            })
            .collect();
        let token = self.rng.bool().then(|| format!("token-{}", self.rng.u64(..)));
        if let Some(token) = &token {
            self.tokens.push((writes.clone(), token.clone()));
        }
        SdkCall::Transact(writes, token)
    }

    fn write(&mut self, kind: Kind) -> TransactWriteItem {
        let (table, key) = self.key();
        let mut names = Names::default();
        let condition = match (kind, self.rng.u32(0..100)) {
            (Kind::Check, _) | (_, 0..60) => Some(self.product_or_random(&mut names)),
            (_, _) => None,
        };
        let on_failure = self.rng.bool().then_some(ReturnValuesOnConditionCheckFailure::AllOld);
        let builder = TransactWriteItem::builder();
        match kind {
            Kind::Put => {
                let mut item = self.item();
                item.extend(key);
                let (names, values) = names.finish(&mut self.rng);
                let put = Put::builder()
                    .table_name(table)
                    .set_item(Some(item))
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .set_return_values_on_condition_check_failure(on_failure);
                builder.put(put.build().unwrap()).build()
            }
            Kind::Update => {
                let expression = self.update(&mut names);
                let (names, values) = names.finish(&mut self.rng);
                let update = Update::builder()
                    .table_name(table)
                    .set_key(Some(key))
                    .update_expression(expression)
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .set_return_values_on_condition_check_failure(on_failure);
                builder.update(update.build().unwrap()).build()
            }
            Kind::Delete => {
                let (names, values) = names.finish(&mut self.rng);
                let delete = Delete::builder()
                    .table_name(table)
                    .set_key(Some(key))
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .set_return_values_on_condition_check_failure(on_failure);
                builder.delete(delete.build().unwrap()).build()
            }
            Kind::Check => {
                let (names, values) = names.finish(&mut self.rng);
                let check = ConditionCheck::builder()
                    .table_name(table)
                    .set_key(Some(key))
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .set_return_values_on_condition_check_failure(on_failure);
                builder.condition_check(check.build().unwrap()).build()
            }
        }
    }

    fn get(&mut self) -> GetCall {
        let (table, key) = self.key();
        let mut names = Names::default();
        let projection = self.rng.bool().then(|| self.projection(&mut names));
        let names = Some(names.names).filter(|names| !names.is_empty());
        GetCall { table, key, consistent: self.rng.bool(), projection, names }
    }

    fn query(&mut self) -> QueryCall {
        if self.rng.u32(0..3) > 0
            && let Some((query, start)) = self.cut.take()
        {
            return QueryCall { start: Some(start), ..query };
        }
        let mut names = Names::default();
        let (table, index, keys) = match self.rng.u32(0..10) {
            0..4 => (self.ledger.clone(), None, self.ledger_keys(&mut names)),
            4..7 => (self.accounts.clone(), None, self.account_keys(&mut names)),
            7..9 => {
                let shard = names.value(self.shard());
                let at = names.name(&mut self.rng, "due_at");
                let time = names.value(self.time());
                let keys = match self.rng.u32(0..4) {
                    0 => {
                        names.names.remove("#due_at");
                        names.values.remove(&time);
                        format!("due_shard = {shard}")
                    }
                    1 => format!("{at} > {time} AND due_shard = {shard}"),
                    2 => format!("due_shard = {shard} AND {at} = {time}"),
                    _ => format!("due_shard = {shard} AND {at} <= {time}"),
                };
                (self.accounts.clone(), Some("due".to_owned()), keys)
            }
            _ => {
                let shard = names.value(self.shard());
                let keys = format!("billable_shard = {shard}");
                (self.accounts.clone(), Some("billable".to_owned()), keys)
            }
        };
        let filter = (self.rng.u32(0..4) == 0).then(|| self.condition(&mut names, 2));
        // An index has its keys only.
        let can_project = index.is_none() && self.rng.u32(0..4) == 0;
        let projection = can_project.then(|| self.projection(&mut names));
        let select = (projection.is_none() && self.rng.u32(0..8) == 0).then_some(Select::Count);
        let (names, values) = names.finish(&mut self.rng);
        QueryCall {
            consistent: self.rng.u32(0..20) == 0 || (index.is_none() && self.rng.bool()),
            table,
            index,
            keys,
            filter,
            projection,
            names,
            values,
            forward: self.rng.bool(),
            limit: self.rng.bool().then(|| self.rng.i32(1..4)),
            start: None,
            select,
        }
    }

    fn ledger_keys(&mut self, names: &mut Names) -> String {
        let account = self.pick(&ACCOUNTS);
        let account = names.value(AttributeValue::S(account.to_owned()));
        let (first, last) = (self.rng.u32(0..7), self.rng.u32(0..7));
        let number = |value: u32| AttributeValue::N(value.to_string());
        match self.rng.u32(0..8) {
            0 => format!("account = {account}"),
            1 => format!("account = {account} AND seq = {}", names.value(number(first))),
            2 => format!("account = {account} AND seq < {}", names.value(number(first))),
            3 => format!("(account = {account}) AND (seq >= {})", names.value(number(first))),
            4 => format!("{account} = account AND {} > seq", names.value(number(first))),
            _ => {
                let (first, last) = (names.value(number(first)), names.value(number(last)));
                format!("account = {account} AND seq BETWEEN {first} AND {last}")
            }
        }
    }

    fn account_keys(&mut self, names: &mut Names) -> String {
        let account = self.pick(&ACCOUNTS);
        let pk = names.value(AttributeValue::S(account.to_owned()));
        let key = self.pick(&SORT_KEYS);
        let sk = names.name(&mut self.rng, "sk");
        let cut = self.rng.usize(1..=key.chars().count());
        let prefix: String = key.chars().take(cut).collect();
        match self.rng.u32(0..5) {
            0 => {
                names.names.remove("#sk");
                format!("pk = {pk}")
            }
            1 => format!("pk = {pk} AND {sk} = {}", names.value(AttributeValue::S(key.to_owned()))),
            2 => format!("pk = {pk} and {sk} > {}", names.value(AttributeValue::S(prefix))),
            _ => {
                format!(
                    "pk = {pk} AND begins_with({sk}, {})",
                    names.value(AttributeValue::S(prefix))
                )
            }
        }
    }

    fn projection(&mut self, names: &mut Names) -> String {
        let count = self.rng.usize(1..4);
        let start = self.rng.usize(0..ATTRIBUTES.len());
        let wanted: Vec<_> = (0..count)
            .map(|place| names.name(&mut self.rng, ATTRIBUTES[(start + place) % ATTRIBUTES.len()]))
            .collect();
        wanted.join(", ")
    }

    fn product_or_random(&mut self, names: &mut Names) -> String {
        let form = self.rng.u32(0..10);
        let mut number = || names.value(self.number());
        match form {
            0 => "attribute_not_exists(pk)".to_owned(),
            1 => "attribute_not_exists(account)".to_owned(),
            2 => format!("attribute_not_exists(pk) OR expires < {}", number()),
            3 => format!("attribute_exists(pk) AND reading <= {}", number()),
            4 => format!(
                "attribute_exists(pk) AND reading < {} AND reading >= {}",
                number(),
                number()
            ),
            5 => format!("attribute_not_exists(version) OR version = {}", number()),
            _ => self.condition(names, 3),
        }
    }

    fn condition(&mut self, names: &mut Names, depth: u32) -> String {
        if depth > 0 {
            match self.rng.u32(0..8) {
                0 => {
                    let (left, right) =
                        (self.condition(names, depth - 1), self.condition(names, depth - 1));
                    return format!("{left} AND {right}");
                }
                1 => {
                    let (left, right) =
                        (self.condition(names, depth - 1), self.condition(names, depth - 1));
                    return format!("{left} OR {right}");
                }
                2 => return format!("NOT {}", self.condition(names, depth - 1)),
                3 => return format!("({})", self.condition(names, depth - 1)),
                _ => {}
            }
        }
        let attribute = self.pick(&ATTRIBUTES);
        let name = names.name(&mut self.rng, attribute);
        // DynamoDB refuses an attribute that is compared with itself. The engine does not always.
        let others: Vec<_> = ATTRIBUTES.into_iter().filter(|other| *other != attribute).collect();
        let other = self.pick(&others);
        match self.rng.u32(0..12) {
            0 => format!("attribute_exists({name})"),
            1 => format!("attribute_not_exists({name})"),
            2 => {
                let prefix = self.pick(&TEXTS);
                format!(
                    "begins_with({name}, {})",
                    names.value(AttributeValue::S(prefix.to_owned()))
                )
            }
            3 => {
                // Bounds in the wrong order or of two types are refused: by DynamoDB before anything
                // is read, by the engine sometimes later or never.
                let (low, high) = self.pick(&[
                    ("-3", "0.5"),
                    ("1", "10"),
                    ("9", "100000000000000000000"),
                    ("1.50", "1.5"),
                ]);
                let low = names.value(AttributeValue::N(low.to_owned()));
                let high = names.value(AttributeValue::N(high.to_owned()));
                format!("{name} BETWEEN {low} AND {high}")
            }
            4 => {
                let list: Vec<_> =
                    (0..self.rng.usize(1..4)).map(|_| names.value(self.value(1))).collect();
                format!("{name} IN ({})", list.join(", "))
            }
            5 => format!("{name} = {}", names.name(&mut self.rng, other)),
            6 => format!("{name} < {}", names.name(&mut self.rng, other)),
            7 => format!("{} {} {name}", names.value(self.scalar()), self.pick(&["<", ">="])),
            8 => format!("{name} {} {}", self.pick(&["=", "<>"]), names.value(self.value(2))),
            _ => {
                let operator = self.pick(&["=", "<>", "<", "<=", ">", ">="]);
                format!("{name} {operator} {}", names.value(self.scalar()))
            }
        }
    }

    fn update(&mut self, names: &mut Names) -> String {
        let mut order = ATTRIBUTES.to_vec();
        self.rng.shuffle(&mut order);
        let (mut sets, mut removes, mut adds) = (Vec::new(), Vec::new(), Vec::new());
        for attribute in order.into_iter().take(self.rng.usize(1..5)) {
            let name = names.name(&mut self.rng, attribute);
            let other = self.pick(&ATTRIBUTES);
            match self.rng.u32(0..12) {
                0..4 => sets.push(format!("{name} = {}", names.value(self.value(2)))),
                4 => {
                    let other = names.name(&mut self.rng, other);
                    sets.push(format!(
                        "{name} = if_not_exists({other}, {})",
                        names.value(self.value(2))
                    ));
                }
                5 => {
                    let (number, sign) = (names.value(self.number()), self.pick(&["+", "-"]));
                    sets.push(format!("{name} = {name} {sign} {number}"));
                }
                6 => {
                    let zero = names.value(AttributeValue::N("0".to_owned()));
                    let number = names.value(self.number());
                    sets.push(format!("{name} = if_not_exists({name}, {zero}) + {number}"));
                }
                7 => sets.push(format!("{name} = {}", names.name(&mut self.rng, other))),
                8..10 => removes.push(name),
                _ => adds.push(format!("{name} {}", names.value(self.number()))),
            }
        }
        match self.rng.u32(0..60) {
            0..10 => sets.push(format!("due_shard = {}", names.value(self.shard()))),
            10..16 => sets.push(format!("due_at = {}", names.value(self.time()))),
            16..22 => sets.push(format!("billable_shard = {}", names.value(self.shard()))),
            22 => sets.push(format!("due_at = {}", names.value(self.shard()))),
            23 => removes.push("due_at".to_owned()),
            24 => removes.push("reading, reading".to_owned()),
            _ => {}
        }
        let mut clauses = Vec::new();
        for (word, actions) in [("SET", sets), ("REMOVE", removes), ("ADD", adds)] {
            if !actions.is_empty() {
                clauses.push(format!("{word} {}", actions.join(", ")));
            }
        }
        self.rng.shuffle(&mut clauses);
        clauses.join(" ")
    }

    fn key(&mut self) -> (String, SdkItem) {
        let account = match self.rng.u32(0..150) {
            0 => "",
            _ => self.pick(&ACCOUNTS),
        };
        let account = AttributeValue::S(account.to_owned());
        if self.rng.bool() {
            let seq = AttributeValue::N(self.rng.u32(0..7).to_string());
            let key = [("account".to_owned(), account), ("seq".to_owned(), seq)];
            return (self.ledger.clone(), key.into());
        }
        let sort = AttributeValue::S(self.pick(&SORT_KEYS).to_owned());
        let key = [("pk".to_owned(), account), ("sk".to_owned(), sort)];
        (self.accounts.clone(), key.into())
    }

    fn item(&mut self) -> SdkItem {
        let mut item = SdkItem::new();
        for name in ATTRIBUTES {
            if self.rng.u32(0..3) == 0 {
                item.insert(name.to_owned(), self.value(2));
            }
        }
        if self.rng.bool() {
            item.insert("due_shard".to_owned(), self.shard());
            item.insert("due_at".to_owned(), self.time());
        }
        if self.rng.u32(0..3) == 0 {
            item.insert("billable_shard".to_owned(), self.shard());
        }
        if self.rng.u32(0..100) == 0 {
            item.insert("due_at".to_owned(), self.shard());
        }
        item
    }

    fn shard(&mut self) -> AttributeValue {
        AttributeValue::S(self.pick(&["0", "1"]).to_owned())
    }

    fn time(&mut self) -> AttributeValue {
        AttributeValue::N(self.pick(&["5", "6", "7.5", "10"]).to_owned())
    }

    fn number(&mut self) -> AttributeValue {
        AttributeValue::N(self.pick(&NUMBERS).to_owned())
    }

    fn scalar(&mut self) -> AttributeValue {
        match self.rng.u32(0..2) {
            0 => AttributeValue::S(self.pick(&TEXTS).to_owned()),
            _ => self.number(),
        }
    }

    fn value(&mut self, depth: u32) -> AttributeValue {
        match self.rng.u32(0..if depth > 0 { 12 } else { 10 }) {
            8 => AttributeValue::Bool(self.rng.bool()),
            9 => AttributeValue::Null(true),
            10 => {
                let count = self.rng.usize(0..3);
                AttributeValue::L((0..count).map(|_| self.value(depth - 1)).collect())
            }
            11 => {
                let names = ["x", "y"];
                let count = self.rng.usize(0..3);
                let entries = names
                    .iter()
                    .take(count)
                    .map(|name| ((*name).to_owned(), self.value(depth - 1)));
                AttributeValue::M(entries.collect())
            }
            _ => self.scalar(),
        }
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        self.rng.choice(from).expect("something to pick from").clone()
    }
}
