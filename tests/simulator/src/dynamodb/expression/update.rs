//! Update expressions.

use std::collections::BTreeSet;

use super::super::error::{DynamoError, invalid, not_imitated};
use super::super::number::DecimalNumber;
use super::super::schema::KeySchema;
use super::super::value::{StoredAttributes, StoredValue};
use super::placeholders::Placeholders;
use super::token::{Token, TokenReader};

/// What an update does, for each attribute once.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct UpdatePlan {
    sets: Vec<(String, SetValue)>,
    removes: Vec<String>,
    adds: Vec<(String, DecimalNumber)>,
}

#[derive(Clone, Debug)]
enum SetValue {
    Plain(SetOperand),
    Sum(SetOperand, SetOperand),
    Difference(SetOperand, SetOperand),
}

#[derive(Clone, Debug)]
enum SetOperand {
    Attribute(String),
    Value(StoredValue),
    /// The attribute, or else the operand.
    IfNotExists(String, Box<SetOperand>),
}

impl UpdatePlan {
    pub(in super::super) fn parse(
        expression: &str,
        placeholders: &mut Placeholders,
    ) -> Result<Self, DynamoError> {
        let tokens = TokenReader::new("UpdateExpression", expression)?;
        let mut parser = UpdateParser { tokens, placeholders };
        let plan = parser.clauses()?;
        let mut seen = BTreeSet::new();
        for name in plan.attributes() {
            if !seen.insert(name) {
                return Err(parser.tokens.fault(&format!(
                    "Two document paths overlap with each other; must remove or rewrite one of \
                     these paths; path one: [{name}], path two: [{name}]"
                )));
            }
        }
        Ok(plan)
    }

    /// The key of an item never changes.
    pub(in super::super) fn check_keys(&self, keys: &KeySchema) -> Result<(), String> {
        let Some(key) = self.attributes().find(|name| keys.contains(name)) else { return Ok(()) };
        Err(format!(
            "One or more parameter values were invalid: Cannot update attribute {key}. This \
             attribute is part of the key"
        ))
    }

    /// The attributes that it changes.
    pub(in super::super) fn attributes(&self) -> impl Iterator<Item = &str> {
        let sets = self.sets.iter().map(|(name, _)| name);
        let adds = self.adds.iter().map(|(name, _)| name);
        sets.chain(&self.removes).chain(adds).map(String::as_str)
    }

    /// Every operand is read from the item as it was.
    pub(in super::super) fn apply(
        &self,
        before: &StoredAttributes,
    ) -> Result<StoredAttributes, DynamoError> {
        let mut after = before.clone();
        for (name, value) in &self.sets {
            after.insert(name.clone(), value.of(before)?);
        }
        for name in &self.removes {
            after.remove(name);
        }
        for (name, number) in &self.adds {
            let sum = match before.get(name) {
                Some(value) => number_of(value)?.add(*number)?,
                None => *number,
            };
            after.insert(name.clone(), StoredValue::Number(sum));
        }
        Ok(after)
    }
}

impl SetValue {
    fn of(&self, item: &StoredAttributes) -> Result<StoredValue, DynamoError> {
        match self {
            Self::Plain(operand) => operand.of(item),
            Self::Sum(left, right) => {
                let sum = number_of(&left.of(item)?)?.add(number_of(&right.of(item)?)?)?;
                Ok(StoredValue::Number(sum))
            }
            Self::Difference(left, right) => {
                let (left, right) = (number_of(&left.of(item)?)?, number_of(&right.of(item)?)?);
                Ok(StoredValue::Number(left.subtract(right)?))
            }
        }
    }
}

impl SetOperand {
    fn of(&self, item: &StoredAttributes) -> Result<StoredValue, DynamoError> {
        match self {
            Self::Attribute(name) => item.get(name).cloned().ok_or_else(|| {
                invalid(
                    "The provided expression refers to an attribute that does not exist in the \
                     item",
                )
            }),
            Self::Value(value) => Ok(value.clone()),
            Self::IfNotExists(name, otherwise) => match item.get(name) {
                Some(value) => Ok(value.clone()),
                None => otherwise.of(item),
            },
        }
    }
}

fn number_of(value: &StoredValue) -> Result<DecimalNumber, DynamoError> {
    let StoredValue::Number(number) = value else {
        return Err(invalid("An operand in the update expression has an incorrect data type"));
    };
    Ok(*number)
}

struct UpdateParser<'a> {
    tokens: TokenReader,
    placeholders: &'a mut Placeholders,
}

impl UpdateParser<'_> {
    fn clauses(&mut self) -> Result<UpdatePlan, DynamoError> {
        let mut plan = UpdatePlan::default();
        let mut seen = BTreeSet::new();
        while let Some(token) = self.tokens.next() {
            let Token::Word(word) = token else { return Err(self.tokens.syntax_error()) };
            let clause = word.to_ascii_uppercase();
            if !seen.insert(clause.clone()) {
                let why = format!("The \"{clause}\" section can only be used once in an update");
                return Err(self.tokens.fault(&why));
            }
            loop {
                self.action(&clause, &mut plan)?;
                if !self.tokens.skips(",") {
                    break;
                }
            }
        }
        Ok(plan)
    }

    fn action(&mut self, clause: &str, plan: &mut UpdatePlan) -> Result<(), DynamoError> {
        match clause {
            "SET" => {
                let name = self.attribute()?;
                self.tokens.expect("=")?;
                let value = self.set_value()?;
                plan.sets.push((name, value));
            }
            "REMOVE" => plan.removes.push(self.attribute()?),
            "ADD" => {
                let name = self.attribute()?;
                let Some(value) = self.placeholders.value(&mut self.tokens)? else {
                    return Err(self.tokens.syntax_error());
                };
                let StoredValue::Number(number) = value else {
                    return Err(self.tokens.fault(&format!(
                        "Incorrect operand type for operator or function; operator: ADD, operand \
                         type: {}",
                        value.type_code()
                    )));
                };
                plan.adds.push((name, number));
            }
            "DELETE" => return Err(not_imitated("DELETE in an UpdateExpression")),
            _ => return Err(self.tokens.syntax_error()),
        }
        Ok(())
    }

    fn set_value(&mut self) -> Result<SetValue, DynamoError> {
        let left = self.operand()?;
        if self.tokens.skips("+") {
            let right = self.operand()?;
            self.check_numbers("+", &[&left, &right])?;
            return Ok(SetValue::Sum(left, right));
        }
        if self.tokens.skips("-") {
            let right = self.operand()?;
            self.check_numbers("-", &[&left, &right])?;
            return Ok(SetValue::Difference(left, right));
        }
        Ok(SetValue::Plain(left))
    }

    fn operand(&mut self) -> Result<SetOperand, DynamoError> {
        if let Some(value) = self.placeholders.value(&mut self.tokens)? {
            return Ok(SetOperand::Value(value));
        }
        let Some(function) = self.tokens.skips_call() else {
            return self.attribute().map(SetOperand::Attribute);
        };
        match function.as_str() {
            "if_not_exists" => {
                let name = self.attribute()?;
                self.tokens.expect(",")?;
                let otherwise = Box::new(self.operand()?);
                self.tokens.expect(")")?;
                Ok(SetOperand::IfNotExists(name, otherwise))
            }
            "list_append" => Err(not_imitated("the function list_append")),
            other => Err(self.tokens.fault(&format!("Invalid function name; function: {other}"))),
        }
    }

    fn attribute(&mut self) -> Result<String, DynamoError> {
        self.placeholders.attribute(&mut self.tokens)
    }

    fn check_numbers(&self, operator: &str, operands: &[&SetOperand]) -> Result<(), DynamoError> {
        for operand in operands {
            if let SetOperand::Value(value) = operand
                && value.type_code() != "N"
            {
                return Err(self.tokens.fault(&format!(
                    "Incorrect operand type for operator or function; operator or function: \
                     {operator}, operand type: {}",
                    value.type_code()
                )));
            }
        }
        Ok(())
    }
}
