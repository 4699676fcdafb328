//! Writes of one item, alone or as an action of a transaction.

use std::sync::Arc;

use serde_json::{Value, json};

use super::error::{ActionFailure, DynamoError};
use super::expression::condition::Condition;
use super::expression::placeholders::Placeholders;
use super::expression::update::UpdatePlan;
use super::history::ItemState;
use super::request::CallParameters;
use super::schema::TableSchema;
use super::value::{ItemKey, StoredAttributes, item_json, item_size};

const ITEM_BYTES_MAX: usize = 400 * 1024;

/// Parameters of every write.
const COMMON_PARAMETERS: [&str; 5] = [
    "TableName",
    "ConditionExpression",
    "ExpressionAttributeNames",
    "ExpressionAttributeValues",
    "ReturnValuesOnConditionCheckFailure",
];

/// One write, as an operation of its own and as a part of a transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum WriteKind {
    Put,
    Update,
    Delete,
    ConditionCheck,
}

impl WriteKind {
    /// The names of the parts of a transaction.
    pub(super) const IN_TRANSACTIONS: [(&str, Self); 4] = [
        ("Put", Self::Put),
        ("Update", Self::Update),
        ("Delete", Self::Delete),
        ("ConditionCheck", Self::ConditionCheck),
    ];

    fn own_parameters(self) -> &'static [&'static str] {
        match self {
            Self::Put => &["Item"],
            Self::Update => &["Key", "UpdateExpression"],
            Self::Delete | Self::ConditionCheck => &["Key"],
        }
    }
}

#[derive(Debug)]
pub(super) struct WriteAction {
    pub(super) key: ItemKey,
    change: WriteChange,
    condition: Option<Condition>,
    failure_returns: FailureReturns,
}

#[derive(Debug)]
enum WriteChange {
    Put(StoredAttributes),
    Update(UpdatePlan),
    Delete,
    None,
}

/// What a failed condition returns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum FailureReturns {
    Nothing,
    Item,
}

/// What a successful write returns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum WriteReturns {
    Nothing,
    AllOld,
    AllNew,
    UpdatedOld,
    UpdatedNew,
}

/// Reads `ReturnValues` of a call. Only updates return new values.
pub(super) fn returns(
    call: &CallParameters<'_>,
    kind: WriteKind,
) -> Result<WriteReturns, DynamoError> {
    use WriteReturns::{AllNew, AllOld, Nothing, UpdatedNew, UpdatedOld};
    let values: &[_] = match kind {
        WriteKind::Update => &[
            ("NONE", Nothing),
            ("ALL_OLD", AllOld),
            ("ALL_NEW", AllNew),
            ("UPDATED_OLD", UpdatedOld),
            ("UPDATED_NEW", UpdatedNew),
        ],
        WriteKind::Put | WriteKind::Delete | WriteKind::ConditionCheck => {
            &[("NONE", Nothing), ("ALL_OLD", AllOld)]
        }
    };
    Ok(call.one_of("ReturnValues", values)?.unwrap_or(Nothing))
}

/// The parameters of a write. `more` are those that only operations have.
pub(super) fn parameters<'a>(
    name: &'a str,
    body: &'a Value,
    kind: WriteKind,
    more: &[&str],
) -> Result<CallParameters<'a>, DynamoError> {
    let known = [&COMMON_PARAMETERS, kind.own_parameters(), more].concat();
    CallParameters::read(name, body, &known)
}

impl WriteAction {
    pub(super) fn read(
        call: &CallParameters<'_>,
        kind: WriteKind,
        schema: &TableSchema,
    ) -> Result<Self, DynamoError> {
        let mut placeholders = Placeholders::read(call.body())?;
        let condition = match kind {
            WriteKind::ConditionCheck => {
                call.required_text("ConditionExpression")?;
                call.condition("ConditionExpression", &mut placeholders)?
            }
            WriteKind::Put | WriteKind::Update | WriteKind::Delete => {
                call.condition("ConditionExpression", &mut placeholders)?
            }
        };
        let change = match kind {
            WriteKind::Put => WriteChange::Put(call.item("Item")?),
            WriteKind::Update => {
                let expression = call.text("UpdateExpression")?;
                let plan = expression
                    .map(|text| UpdatePlan::parse(text, &mut placeholders))
                    .transpose()?;
                WriteChange::Update(plan.unwrap_or_default())
            }
            WriteKind::Delete => WriteChange::Delete,
            WriteKind::ConditionCheck => WriteChange::None,
        };
        placeholders.check_all_used()?;
        let failure_returns = call.one_of(
            "ReturnValuesOnConditionCheckFailure",
            &[("NONE", FailureReturns::Nothing), ("ALL_OLD", FailureReturns::Item)],
        )?;
        let key = match &change {
            WriteChange::Put(item) => schema.keys.key_of_item(item)?,
            WriteChange::Update(_) | WriteChange::Delete | WriteChange::None => {
                schema.keys.key_of_request(&call.item("Key")?)?
            }
        };
        let failure_returns = failure_returns.unwrap_or(FailureReturns::Nothing);
        Ok(Self { key, change, condition, failure_returns })
    }

    /// The item after the write, if its condition holds.
    pub(super) fn outcome(
        &self,
        schema: &TableSchema,
        before: &ItemState,
    ) -> Result<ItemState, ActionFailure> {
        // DynamoDB checks these before it looks at what is there.
        match &self.change {
            WriteChange::Put(item) => check_item(schema, item, "Item size")?,
            WriteChange::Update(plan) => {
                plan.check_keys(&schema.keys).map_err(ActionFailure::Invalid)?;
            }
            WriteChange::Delete | WriteChange::None => {}
        }
        let nothing = StoredAttributes::new();
        let item = before.as_deref().unwrap_or(&nothing);
        if self.condition.as_ref().is_some_and(|condition| !condition.is_met(item)) {
            let is_returned = self.failure_returns == FailureReturns::Item;
            let found = before.as_deref().filter(|_| is_returned).cloned();
            return Err(ActionFailure::Condition(found));
        }
        match &self.change {
            WriteChange::Delete => Ok(None),
            WriteChange::None => Ok(before.clone()),
            WriteChange::Put(item) => Ok(Some(Arc::new(item.clone()))),
            WriteChange::Update(plan) => {
                let mut base = item.clone();
                schema.keys.write_key(&self.key, &mut base);
                let after = plan.apply(&base);
                let after = after.map_err(|error| ActionFailure::Invalid(error.message))?;
                check_item(schema, &after, "Item size to update")?;
                Ok(Some(Arc::new(after)))
            }
        }
    }

    pub(super) fn writes(&self) -> bool {
        match self.change {
            WriteChange::Put(_) | WriteChange::Update(_) | WriteChange::Delete => true,
            WriteChange::None => false,
        }
    }

    /// What counts for the size of a transaction.
    pub(super) fn request_bytes(&self) -> usize {
        match &self.change {
            WriteChange::Put(item) => item_size(item),
            WriteChange::Update(_) | WriteChange::Delete | WriteChange::None => 0,
        }
    }

    /// The body of a successful answer.
    pub(super) fn answer(
        &self,
        returns: WriteReturns,
        before: &ItemState,
        after: &ItemState,
    ) -> Value {
        let updated = |state: &ItemState| {
            let item = state.as_ref()?;
            let WriteChange::Update(plan) = &self.change else { return None };
            let kept = |name: &str| Some((name.to_owned(), item.get(name)?.clone()));
            Some(plan.attributes().filter_map(kept).collect::<StoredAttributes>())
        };
        let attributes = match returns {
            WriteReturns::Nothing => None,
            WriteReturns::AllOld => before.as_deref().cloned(),
            WriteReturns::AllNew => after.as_deref().cloned(),
            WriteReturns::UpdatedOld => updated(before),
            WriteReturns::UpdatedNew => updated(after),
        };
        match attributes.filter(|attributes| !attributes.is_empty()) {
            Some(attributes) => json!({"Attributes": item_json(&attributes)}),
            None => json!({}),
        }
    }
}

fn check_item(
    schema: &TableSchema,
    item: &StoredAttributes,
    subject: &str,
) -> Result<(), ActionFailure> {
    schema.check_index_keys(item)?;
    if item_size(item) > ITEM_BYTES_MAX {
        let message = format!("{subject} has exceeded the maximum allowed size");
        return Err(ActionFailure::Invalid(message));
    }
    Ok(())
}
