//! The grammar of conditions (docs.aws.amazon.com/amazondynamodb, "Condition and filter
//! expressions, operators, and functions").
//!
//! ```text
//! or      = and { OR and }
//! and     = not { AND not }
//! not     = NOT not | primary
//! primary = "(" or ")" | function "(" … ")" | operand comparison
//! ```

use super::super::error::{DynamoError, not_imitated};
use super::condition::{Comparison, Condition, Operand};
use super::placeholders::Placeholders;
use super::token::{Token, TokenReader};

/// Operands of one `IN`.
const LIST_MAX: usize = 100;

/// Parses a whole expression. `kind` is the name of the request's parameter.
pub(in super::super) fn parse_condition(
    kind: &'static str,
    expression: &str,
    placeholders: &mut Placeholders,
) -> Result<Condition, DynamoError> {
    let tokens = TokenReader::new(kind, expression)?;
    let mut parser = Parser { tokens, placeholders };
    let condition = parser.or()?;
    parser.tokens.expect_end()?;
    Ok(condition)
}

struct Parser<'a> {
    tokens: TokenReader,
    placeholders: &'a mut Placeholders,
}

impl Parser<'_> {
    fn or(&mut self) -> Result<Condition, DynamoError> {
        let mut condition = self.and()?;
        while self.tokens.skips_word("OR") {
            condition = Condition::Or(Box::new(condition), Box::new(self.and()?));
        }
        Ok(condition)
    }

    fn and(&mut self) -> Result<Condition, DynamoError> {
        let mut condition = self.not()?;
        while self.tokens.skips_word("AND") {
            condition = Condition::And(Box::new(condition), Box::new(self.not()?));
        }
        Ok(condition)
    }

    fn not(&mut self) -> Result<Condition, DynamoError> {
        if self.tokens.skips_word("NOT") {
            return Ok(Condition::Not(Box::new(self.not()?)));
        }
        self.primary()
    }

    fn primary(&mut self) -> Result<Condition, DynamoError> {
        if self.tokens.skips("(") {
            let inner = self.or()?;
            self.tokens.expect(")")?;
            if matches!(inner, Condition::Group(_)) {
                return Err(self.tokens.fault("The expression has redundant parentheses;"));
            }
            return Ok(Condition::Group(Box::new(inner)));
        }
        if let Some(function) = self.tokens.skips_call() {
            let condition = self.call(&function)?;
            self.tokens.expect(")")?;
            return Ok(condition);
        }
        let value = self.operand()?;
        self.comparison(value)
    }

    fn call(&mut self, function: &str) -> Result<Condition, DynamoError> {
        match function {
            "attribute_exists" => Ok(Condition::Exists(self.attribute()?)),
            "attribute_not_exists" => Ok(Condition::NotExists(self.attribute()?)),
            "begins_with" => {
                let value = self.operand()?;
                self.tokens.expect(",")?;
                let prefix = self.operand()?;
                for operand in [&value, &prefix] {
                    self.check_literal(function, operand, &["S"])?;
                }
                self.check_distinct(function, &value, &prefix)?;
                Ok(Condition::BeginsWith { value, prefix })
            }
            "contains" | "size" | "attribute_type" => {
                Err(not_imitated(format!("the function {function}")))
            }
            other => Err(self.tokens.fault(&format!("Invalid function name; function: {other}"))),
        }
    }

    fn comparison(&mut self, value: Operand) -> Result<Condition, DynamoError> {
        if self.tokens.skips_word("BETWEEN") {
            return self.between(value);
        }
        if self.tokens.skips_word("IN") {
            return self.one_of(value);
        }
        let comparison = match self.tokens.peek() {
            Some(Token::Symbol(symbol)) => Comparison::of_symbol(symbol),
            Some(Token::Word(_) | Token::Name(_) | Token::Value(_)) | None => None,
        };
        let Some(comparison) = comparison else { return Err(self.tokens.syntax_error()) };
        let Some(Token::Symbol(symbol)) = self.tokens.next() else {
            return Err(self.tokens.syntax_error());
        };
        let right = self.operand()?;
        if !matches!(comparison, Comparison::Equal | Comparison::NotEqual) {
            for operand in [&value, &right] {
                self.check_literal(symbol, operand, &["S", "N"])?;
            }
        }
        self.check_distinct(symbol, &value, &right)?;
        Ok(Condition::Compare { left: value, comparison, right })
    }

    fn between(&mut self, value: Operand) -> Result<Condition, DynamoError> {
        let low = self.operand()?;
        if !self.tokens.skips_word("AND") {
            return Err(self.tokens.syntax_error());
        }
        let high = self.operand()?;
        for operand in [&value, &low, &high] {
            self.check_literal("BETWEEN", operand, &["S", "N"])?;
        }
        if let (Operand::Value(low), Operand::Value(high)) = (&low, &high) {
            match low.order(high) {
                None => {
                    return Err(self.tokens.fault(
                        "The BETWEEN operator requires same data type for lower and upper bounds;",
                    ));
                }
                Some(order) if order.is_gt() => {
                    return Err(self.tokens.fault(
                        "The BETWEEN operator requires upper bound to be greater than or equal to \
                         lower bound;",
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(Condition::Between { value, low, high })
    }

    fn one_of(&mut self, value: Operand) -> Result<Condition, DynamoError> {
        self.tokens.expect("(")?;
        let mut list = vec![self.operand()?];
        while self.tokens.skips(",") {
            list.push(self.operand()?);
        }
        self.tokens.expect(")")?;
        if list.len() > LIST_MAX {
            return Err(self.tokens.fault("The IN operator is provided with too many operands;"));
        }
        Ok(Condition::OneOf { value, list })
    }

    fn operand(&mut self) -> Result<Operand, DynamoError> {
        if let Some(value) = self.placeholders.value(&mut self.tokens)? {
            return Ok(Operand::Value(value));
        }
        if let Some(function) = self.tokens.skips_call() {
            return Err(not_imitated(format!("the function {function} as an operand")));
        }
        self.attribute().map(Operand::Attribute)
    }

    fn attribute(&mut self) -> Result<String, DynamoError> {
        self.placeholders.attribute(&mut self.tokens)
    }

    /// Literals of a type that the operator never takes are refused before any item is read.
    fn check_literal(
        &self,
        operator: &str,
        operand: &Operand,
        types: &[&str],
    ) -> Result<(), DynamoError> {
        let code = match operand {
            Operand::Value(value) => value.type_code(),
            Operand::Attribute(_) => return Ok(()),
        };
        if types.contains(&code) {
            return Ok(());
        }
        Err(self.tokens.fault(&format!(
            "Incorrect operand type for operator or function; operator or function: {operator}, \
             operand type: {code}"
        )))
    }

    fn check_distinct(
        &self,
        operator: &str,
        left: &Operand,
        right: &Operand,
    ) -> Result<(), DynamoError> {
        let (Operand::Attribute(left), Operand::Attribute(right)) = (left, right) else {
            return Ok(());
        };
        if left != right {
            return Ok(());
        }
        Err(self.tokens.fault(&format!(
            "The first operand must be distinct from the remaining operands for this operator or \
             function; operator: {operator}, first operand: [{left}]"
        )))
    }
}
