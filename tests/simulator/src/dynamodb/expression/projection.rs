//! Projections: the attributes that a read returns.

use super::super::error::DynamoError;
use super::super::value::StoredAttributes;
use super::placeholders::Placeholders;
use super::token::TokenReader;

/// The names of the attributes to return.
#[derive(Clone, Debug)]
pub(in super::super) struct Projection(pub(in super::super) Vec<String>);

impl Projection {
    pub(in super::super) fn parse(
        expression: &str,
        placeholders: &mut Placeholders,
    ) -> Result<Self, DynamoError> {
        let mut tokens = TokenReader::new("ProjectionExpression", expression)?;
        let mut names = vec![placeholders.attribute(&mut tokens)?];
        while tokens.skips(",") {
            let name = placeholders.attribute(&mut tokens)?;
            if names.contains(&name) {
                return Err(tokens.fault(&format!(
                    "Two document paths overlap with each other; must remove or rewrite one of \
                     these paths; path one: [{name}], path two: [{name}]"
                )));
            }
            names.push(name);
        }
        tokens.expect_end()?;
        Ok(Self(names))
    }

    pub(in super::super) fn of(&self, item: &StoredAttributes) -> StoredAttributes {
        let kept = |name: &String| Some((name.clone(), item.get(name)?.clone()));
        self.0.iter().filter_map(kept).collect()
    }
}
