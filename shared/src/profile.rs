//! What is known of a customer besides money: the profile. Nothing in it decides what an account may do, so it is no
//! part of the chain.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest e-mail address (RFC 5321, section 4.5.3.1.3, as corrected by erratum 1690).
const EMAIL_BYTES_MAX: usize = 254;

/// What is known of a customer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Where receipts and warnings go.
    pub email: Option<Email>,
}

/// An e-mail address that mail may be sent to. Whether somebody reads it, only a mail can tell.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Email(String);

/// A text is not an e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an e-mail address such as name@example.com")]
pub struct NotAnEmail;

impl Email {
    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Email {
    type Err = NotAnEmail;

    fn from_str(text: &str) -> Result<Email, NotAnEmail> {
        let (name, domain) = text.split_once('@').ok_or(NotAnEmail)?;
        let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !"@<>()[],;:\\\"".contains(c);
        let is_label = |label: &str| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
        let usable = text.len() <= EMAIL_BYTES_MAX
            && (1..=64).contains(&name.len())
            && text.chars().filter(|c| *c != '@').all(is_plain)
            && !domain.contains('@')
            && domain.contains('.')
            && domain.split('.').all(is_label);
        if usable { Ok(Email(text.to_owned())) } else { Err(NotAnEmail) }
    }
}

impl TryFrom<String> for Email {
    type Error = NotAnEmail;

    fn try_from(text: String) -> Result<Email, NotAnEmail> {
        text.parse()
    }
}

impl From<Email> for String {
    fn from(email: Email) -> String {
        email.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Logs are no place for addresses.
impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_name_and_a_domain_and_nothing_that_breaks_a_mail() {
        let long = format!("{}@example.test", "a".repeat(65));
        for good in ["acme@example.test", "a.b+c@mail.example.co.uk", "jürgen@exämple.de", "o'neil@example.test"] {
            assert_eq!(good.parse::<Email>().map(String::from).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "acme",
            "@example.test",
            "acme@",
            "acme@localhost",
            "a@b@example.test",
            "a b@example.test",
            "a@example..test",
            "a@-example.test",
            "a@example.test\nBcc: b@example.test",
            "<a@example.test>",
            &long,
        ] {
            assert_eq!(bad.parse::<Email>(), Err(NotAnEmail), "{bad:?}");
        }
    }
}
