//! Words and symbols of an expression.

use super::super::error::{DynamoError, invalid};

/// In bytes.
const EXPRESSION_SIZE_MAX: usize = 4096;

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Token {
    /// A keyword, a function or the name of an attribute.
    Word(String),
    /// `#name`
    Name(String),
    /// `:value`
    Value(String),
    Symbol(&'static str),
}

/// Longer symbols first: `<` begins `<=`.
const SYMBOLS: [&str; 14] =
    ["<>", "<=", ">=", "<", ">", "=", "(", ")", ",", "+", "-", ".", "[", "]"];

/// The tokens of an expression, read from front to back.
#[derive(Debug)]
pub(super) struct TokenReader {
    /// `ConditionExpression`, for messages.
    kind: &'static str,
    tokens: Vec<Token>,
    position: usize,
}

impl TokenReader {
    pub(super) fn new(kind: &'static str, expression: &str) -> Result<Self, DynamoError> {
        let fault = |why: &str| invalid(format!("Invalid {kind}: {why}"));
        if expression.trim().is_empty() {
            return Err(fault("The expression can not be empty;"));
        }
        if expression.len() > EXPRESSION_SIZE_MAX {
            return Err(fault("Expression size has exceeded the maximum allowed size;"));
        }
        let mut tokens = Vec::new();
        let mut rest = expression.trim_start();
        while !rest.is_empty() {
            if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
                tokens.push(Token::Symbol(symbol));
                rest = rest.strip_prefix(symbol).unwrap_or_default().trim_start();
                continue;
            }
            let sigil = rest.chars().next().filter(|letter| ['#', ':'].contains(letter));
            let body = sigil.map_or(rest, |sigil| rest.strip_prefix(sigil).unwrap_or_default());
            let end = body
                .find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
                .unwrap_or(body.len());
            let (word, after) = body.split_at(end);
            if word.is_empty() {
                return Err(fault(&format!("Syntax error; token: {rest:.20}")));
            }
            tokens.push(match sigil {
                Some('#') => Token::Name(format!("#{word}")),
                Some(_) => Token::Value(format!(":{word}")),
                None => Token::Word(word.to_owned()),
            });
            rest = after.trim_start();
        }
        Ok(Self { kind, tokens, position: 0 })
    }

    pub(super) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.position)
    }

    pub(super) fn next(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.position += 1;
        token
    }

    /// Skips the symbol if it comes next.
    pub(super) fn skips(&mut self, symbol: &str) -> bool {
        let is_next = matches!(self.peek(), Some(Token::Symbol(next)) if *next == symbol);
        self.position += usize::from(is_next);
        is_next
    }

    /// Skips the keyword, in any case, if it comes next.
    pub(super) fn skips_word(&mut self, keyword: &str) -> bool {
        let is_next =
            matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(keyword));
        self.position += usize::from(is_next);
        is_next
    }

    /// Skips the name of a function, in exactly this case, and its parenthesis.
    pub(super) fn skips_call(&mut self) -> Option<String> {
        let Some(Token::Word(word)) = self.peek().cloned() else { return None };
        let after = self.tokens.get(self.position + 1);
        if after != Some(&Token::Symbol("(")) {
            return None;
        }
        self.position += 2;
        Some(word)
    }

    pub(super) fn expect(&mut self, symbol: &str) -> Result<(), DynamoError> {
        if self.skips(symbol) { Ok(()) } else { Err(self.syntax_error()) }
    }

    pub(super) fn expect_end(&self) -> Result<(), DynamoError> {
        if self.peek().is_none() { Ok(()) } else { Err(self.syntax_error()) }
    }

    pub(super) fn syntax_error(&self) -> DynamoError {
        self.fault(&format!("Syntax error; token: {:?}", self.peek()))
    }

    pub(super) fn fault(&self, why: &str) -> DynamoError {
        invalid(format!("Invalid {}: {why}", self.kind))
    }
}
