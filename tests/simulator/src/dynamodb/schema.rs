//! Tables as CloudFormation defines them.

use serde_json::Value;

use super::error::{ActionFailure, DynamoError, invalid};
use super::value::{ItemKey, KeyValue, StoredAttributes, StoredValue};

/// Longest values of keys, in bytes.
const PARTITION_KEY_BYTES_MAX: usize = 2048;
const SORT_KEY_BYTES_MAX: usize = 1024;

/// Properties that change nothing that a caller of the table sees.
const WITHOUT_EFFECT: [&str; 6] = [
    "BillingMode",
    "DeletionProtectionEnabled",
    "PointInTimeRecoverySpecification",
    "ResourcePolicy",
    "SSESpecification",
    "Tags",
];

/// A table, its indexes and its stream.
#[derive(Clone, Debug)]
pub struct TableSchema {
    pub(super) name: String,
    pub(super) keys: KeySchema,
    pub(super) indexes: Vec<IndexSchema>,
    /// `None` if the table has no stream.
    pub(super) stream: Option<StreamImages>,
    /// The attribute with the time (Unix seconds) after which DynamoDB removes an item.
    pub(super) expiry: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct IndexSchema {
    pub(super) name: String,
    pub(super) keys: KeySchema,
    pub(super) projection: IndexProjection,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum IndexProjection {
    All,
    KeysOnly,
}

/// What a record of the stream shows, besides the key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum StreamImages {
    KeysOnly,
    New,
    Old,
    NewAndOld,
}

#[derive(Clone, Debug)]
pub(super) struct KeySchema {
    pub(super) partition: KeyAttribute,
    pub(super) sort: Option<KeyAttribute>,
}

#[derive(Clone, Debug)]
pub(super) struct KeyAttribute {
    pub(super) name: String,
    /// `S` or `N`.
    type_code: String,
}

impl TableSchema {
    /// Reads the properties of an `AWS::DynamoDB::Table`, with all functions resolved.
    ///
    /// # Errors
    /// What is missing or not imitated.
    pub fn from_cloudformation(properties: &Value) -> Result<Self, String> {
        let object = properties.as_object().ok_or("a table has no properties")?;
        let name = text(properties, "TableName")?;
        let attributes = list(properties, "AttributeDefinitions")?;
        let mut schema = Self {
            keys: KeySchema::read(&properties["KeySchema"], attributes)?,
            indexes: Vec::new(),
            stream: None,
            expiry: None,
            name,
        };
        for (property, value) in object {
            match property.as_str() {
                "TableName" | "AttributeDefinitions" | "KeySchema" => {}
                "GlobalSecondaryIndexes" => {
                    let indexes = list(properties, "GlobalSecondaryIndexes")?;
                    schema.indexes = indexes
                        .iter()
                        .map(|index| IndexSchema::read(index, attributes))
                        .collect::<Result<_, _>>()?;
                }
                "StreamSpecification" => schema.stream = Some(StreamImages::read(value)?),
                "TimeToLiveSpecification" => {
                    let is_enabled = value["Enabled"].as_bool().unwrap_or_default();
                    let attribute = is_enabled.then(|| text(value, "AttributeName"));
                    schema.expiry = attribute.transpose()?;
                }
                other if WITHOUT_EFFECT.contains(&other) => {}
                other => return Err(format!("table {}: not imitated: {other}", schema.name)),
            }
        }
        Ok(schema)
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn index(&self, name: &str) -> Result<&IndexSchema, DynamoError> {
        let index = self.indexes.iter().find(|index| index.name == name);
        index.ok_or_else(|| invalid(format!("The table does not have the specified index: {name}")))
    }

    /// Refuses items whose index keys have a wrong type. Items without them are not in the index.
    pub(super) fn check_index_keys(&self, item: &StoredAttributes) -> Result<(), ActionFailure> {
        for index in &self.indexes {
            for attribute in index.keys.attributes() {
                let Some(value) = item.get(&attribute.name) else { continue };
                attribute.check_index_value(value, &index.name).map_err(ActionFailure::Invalid)?;
            }
        }
        Ok(())
    }
}

impl IndexSchema {
    fn read(value: &Value, attributes: &[Value]) -> Result<Self, String> {
        let projection = match value["Projection"]["ProjectionType"].as_str() {
            Some("ALL") => IndexProjection::All,
            Some("KEYS_ONLY") => IndexProjection::KeysOnly,
            other => return Err(format!("not imitated: an index with the projection {other:?}")),
        };
        let keys = KeySchema::read(&value["KeySchema"], attributes)?;
        Ok(Self { name: text(value, "IndexName")?, keys, projection })
    }

    /// Where an item is in the index. `None` if it lacks one of the index's keys.
    pub(super) fn position(&self, item: &StoredAttributes) -> Option<ItemKey> {
        self.keys.key_in(item)
    }
}

impl StreamImages {
    fn read(value: &Value) -> Result<Self, String> {
        match value["StreamViewType"].as_str() {
            Some("KEYS_ONLY") => Ok(Self::KeysOnly),
            Some("NEW_IMAGE") => Ok(Self::New),
            Some("OLD_IMAGE") => Ok(Self::Old),
            Some("NEW_AND_OLD_IMAGES") => Ok(Self::NewAndOld),
            other => Err(format!("not imitated: the stream view type {other:?}")),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::KeysOnly => "KEYS_ONLY",
            Self::New => "NEW_IMAGE",
            Self::Old => "OLD_IMAGE",
            Self::NewAndOld => "NEW_AND_OLD_IMAGES",
        }
    }

    pub(super) fn shows_new(self) -> bool {
        matches!(self, Self::New | Self::NewAndOld)
    }

    pub(super) fn shows_old(self) -> bool {
        matches!(self, Self::Old | Self::NewAndOld)
    }
}

impl KeySchema {
    fn read(value: &Value, attributes: &[Value]) -> Result<Self, String> {
        let (mut partition, mut sort) = (None, None);
        for element in value.as_array().ok_or("a key schema is no list")? {
            let name = text(element, "AttributeName")?;
            let attribute = KeyAttribute::read(name, attributes)?;
            match element["KeyType"].as_str() {
                Some("HASH") => partition = Some(attribute),
                Some("RANGE") => sort = Some(attribute),
                other => return Err(format!("not imitated: the key type {other:?}")),
            }
        }
        Ok(Self { partition: partition.ok_or("a key schema has no partition key")?, sort })
    }

    pub(super) fn attributes(&self) -> impl Iterator<Item = &KeyAttribute> {
        [&self.partition].into_iter().chain(&self.sort)
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.attributes().any(|attribute| attribute.name == name)
    }

    /// The key of an item, or what is wrong with it.
    pub(super) fn key_of_item(&self, item: &StoredAttributes) -> Result<ItemKey, DynamoError> {
        let missing = |attribute: &KeyAttribute| {
            let name = &attribute.name;
            invalid(format!(
                "One or more parameter values were invalid: Missing the key {name} in the item"
            ))
        };
        self.checked_key(item, missing, |attribute, actual| {
            let KeyAttribute { name, type_code } = attribute;
            invalid(format!(
                "One or more parameter values were invalid: Type mismatch for key {name} expected: \
                 {type_code} actual: {actual}"
            ))
        })
    }

    /// The key that a request's `Key` names. It must have the key attributes and no others.
    pub(super) fn key_of_request(&self, key: &StoredAttributes) -> Result<ItemKey, DynamoError> {
        if key.len() != self.attributes().count() {
            return Err(invalid("The number of conditions on the keys is invalid"));
        }
        self.checked_key(key, |_| mismatch(), |_, _| mismatch())
    }

    fn checked_key(
        &self,
        item: &StoredAttributes,
        missing: impl Fn(&KeyAttribute) -> DynamoError,
        mistyped: impl Fn(&KeyAttribute, &str) -> DynamoError,
    ) -> Result<ItemKey, DynamoError> {
        let checked = |attribute: &KeyAttribute, bytes_max: usize| {
            let value = item.get(&attribute.name).ok_or_else(|| missing(attribute))?;
            let is_typed = value.type_code() == attribute.type_code;
            let key = KeyValue::of(value).filter(|_| is_typed);
            let key = key.ok_or_else(|| mistyped(attribute, value.type_code()))?;
            check_length(&key, &attribute.name, bytes_max)?;
            Ok(key)
        };
        Ok(ItemKey {
            partition: checked(&self.partition, PARTITION_KEY_BYTES_MAX)?,
            sort: self.sort.as_ref().map(|sort| checked(sort, SORT_KEY_BYTES_MAX)).transpose()?,
        })
    }

    pub(super) fn key_in(&self, item: &StoredAttributes) -> Option<ItemKey> {
        let value = |attribute: &KeyAttribute| KeyValue::of(item.get(&attribute.name)?);
        Some(ItemKey {
            partition: value(&self.partition)?,
            sort: match &self.sort {
                Some(sort) => Some(value(sort)?),
                None => None,
            },
        })
    }

    /// Adds the attributes of a key to an item.
    pub(super) fn write_key(&self, key: &ItemKey, item: &mut StoredAttributes) {
        item.insert(self.partition.name.clone(), key.partition.value());
        if let (Some(attribute), Some(sort)) = (&self.sort, &key.sort) {
            item.insert(attribute.name.clone(), sort.value());
        }
    }
}

impl KeyAttribute {
    fn read(name: String, attributes: &[Value]) -> Result<Self, String> {
        let defined = attributes.iter().find(|attribute| attribute["AttributeName"] == name);
        let defined = defined.ok_or_else(|| format!("the key {name} has no type"))?;
        let type_code = text(defined, "AttributeType")?;
        if !["S", "N"].contains(&type_code.as_str()) {
            return Err(format!("not imitated: the key {name} of the type {type_code}"));
        }
        Ok(Self { name, type_code })
    }

    pub(super) fn has_type_of(&self, value: &StoredValue) -> bool {
        self.type_code == value.type_code()
    }

    fn check_index_value(&self, value: &StoredValue, index: &str) -> Result<(), String> {
        let Self { name, type_code } = self;
        if !self.has_type_of(value) {
            return Err(format!(
                "One or more parameter values were invalid: Type mismatch for Index Key {name} \
                 Expected: {type_code} Actual: {} IndexName: {index}",
                value.type_code()
            ));
        }
        if *value == StoredValue::Text(String::new()) {
            return Err(format!(
                "One or more parameter values are not valid. A value specified for a secondary \
                 index key is not supported. The AttributeValue for a key attribute cannot contain \
                 an empty string value. IndexName: {index}, IndexKey: {name}"
            ));
        }
        Ok(())
    }
}

fn check_length(key: &KeyValue, name: &str, bytes_max: usize) -> Result<(), DynamoError> {
    let KeyValue::Text(text) = key else { return Ok(()) };
    if text.is_empty() {
        return Err(invalid(format!(
            "One or more parameter values are not valid. The AttributeValue for a key attribute \
             cannot contain an empty string value. Key: {name}"
        )));
    }
    if text.len() > bytes_max {
        return Err(invalid(format!(
            "One or more parameter values were invalid: Size of {name} has exceeded the maximum \
             size limit of {bytes_max} bytes"
        )));
    }
    Ok(())
}

fn mismatch() -> DynamoError {
    invalid("The provided key element does not match the schema")
}

fn text(value: &Value, name: &str) -> Result<String, String> {
    value[name].as_str().map(str::to_owned).ok_or_else(|| format!("{name} is no text"))
}

fn list<'a>(value: &'a Value, name: &str) -> Result<&'a [Value], String> {
    value[name].as_array().map(Vec::as_slice).ok_or_else(|| format!("{name} is no list"))
}
