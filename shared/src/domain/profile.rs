//! The customer's profile: contact and company details. No decision depends on it, so it is not
//! part of the chain.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// The longest e-mail address (RFC 5321, section 4.5.3.1.3, as corrected by erratum 1690).
const EMAIL_BYTES_MAX: usize = 254;

/// The contact and company details of a customer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountProfile {
    /// The address for receipts and warnings.
    pub email: Option<EmailAddress>,
    /// The billing details as set here. Invoices show them.
    pub company: CompanyDetails,
}

/// The billing details that invoices show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompanyDetails {
    #[serde(default, deserialize_with = "none_if_blank")]
    pub name: Option<NonEmptyText>,
    /// The location, which determines tax.
    #[serde(default)]
    pub address: Option<PostalAddress>,
    /// The tax ID of the company.
    #[serde(default)]
    pub tax_id: Option<TaxNumber>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostalAddress {
    /// Street and number.
    pub line1: NonEmptyText,
    /// Second address line.
    #[serde(default, deserialize_with = "none_if_blank")]
    pub line2: Option<NonEmptyText>,
    /// City or town. Some countries are one.
    #[serde(default, deserialize_with = "none_if_blank")]
    pub city: Option<NonEmptyText>,
    /// Postal code. Some countries have none.
    #[serde(default, deserialize_with = "none_if_blank")]
    pub postal_code: Option<NonEmptyText>,
    /// State or province.
    #[serde(default, deserialize_with = "none_if_blank")]
    pub state: Option<NonEmptyText>,
    pub country: CountryCode,
}

/// A tax ID. Stripe checks whether it is valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaxNumber {
    /// Stripe's name of the type, such as `eu_vat` (docs.stripe.com/billing/customer/tax-ids).
    #[serde(rename = "type")]
    pub kind: NonEmptyText,
    pub value: NonEmptyText,
}

/// A line of text: not empty, at most as long as a line of an invoice, without line breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NonEmptyText(String);

/// A text is not one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one line of 1 to {TEXT_BYTES_MAX} bytes")]
pub struct TextError;

/// An ISO 3166-1 alpha-2 country code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CountryCode(String);

/// A text is no country.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an ISO 3166-1 alpha-2 country code such as DE")]
pub struct CountryError;

const TEXT_BYTES_MAX: usize = 200;

/// ISO 3166-1 alpha-2, November 2026.
const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT \
    BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM \
    FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO \
    JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT \
    MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA \
    SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US \
    UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW";

impl CompanyDetails {
    /// Whether all fields are empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == CompanyDetails::default()
    }
}

impl NonEmptyText {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for NonEmptyText {
    type Error = TextError;

    fn try_from(text: String) -> Result<NonEmptyText, TextError> {
        let trimmed = text.trim();
        let is_usable =
            (1..=TEXT_BYTES_MAX).contains(&trimmed.len()) && !trimmed.chars().any(char::is_control);
        if is_usable { Ok(NonEmptyText(trimmed.to_owned())) } else { Err(TextError) }
    }
}

impl From<NonEmptyText> for String {
    fn from(words: NonEmptyText) -> String {
        words.0
    }
}

impl fmt::Display for NonEmptyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl CountryCode {
    /// The two-letter code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CountryCode {
    type Error = CountryError;

    fn try_from(text: String) -> Result<CountryCode, CountryError> {
        if COUNTRIES.split_whitespace().any(|country| country == text) {
            Ok(CountryCode(text))
        } else {
            Err(CountryError)
        }
    }
}

impl From<CountryCode> for String {
    fn from(country: CountryCode) -> String {
        country.0
    }
}

/// Reads a blank field as a missing one.
fn none_if_blank<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<NonEmptyText>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.filter(|text| !text.trim().is_empty());
    text.map(|text| text.try_into().map_err(serde::de::Error::custom)).transpose()
}

/// A syntactically valid e-mail address. Only a delivered mail can prove that it exists.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress(String);

/// A text is not an e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an e-mail address such as name@example.com")]
pub struct EmailError;

impl EmailAddress {
    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EmailAddress {
    type Err = EmailError;

    fn from_str(text: &str) -> Result<EmailAddress, EmailError> {
        let (name, domain) = text.split_once('@').ok_or(EmailError)?;
        let is_plain =
            |c: char| !c.is_whitespace() && !c.is_control() && !"@<>()[],;:\\\"".contains(c);
        let is_label =
            |label: &str| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
        let usable = text.len() <= EMAIL_BYTES_MAX
            && (1..=64).contains(&name.len())
            && text.chars().filter(|c| *c != '@').all(is_plain)
            && !domain.contains('@')
            && domain.contains('.')
            && domain.split('.').all(is_label);
        if usable { Ok(EmailAddress(text.to_owned())) } else { Err(EmailError) }
    }
}

impl TryFrom<String> for EmailAddress {
    type Error = EmailError;

    fn try_from(text: String) -> Result<EmailAddress, EmailError> {
        text.parse()
    }
}

impl From<EmailAddress> for String {
    fn from(email: EmailAddress) -> String {
        email.0
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Logs must not contain e-mail addresses.
impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_blank_is_left_out_and_countries_are_countries() {
        let blank = r#"{"name":" ","address":{"line1":" Main St 1 ","line2":"","country":"DE"},"tax_id":null}"#;
        let company: CompanyDetails = serde_json::from_str(blank).unwrap();
        let shown = serde_json::to_string(&company).unwrap();
        let expected = r#"{"name":null,"address":{"line1":"Main St 1","line2":null,"city":null,"postal_code":null,"state":null,"country":"DE"},"tax_id":null}"#;
        assert_eq!(shown, expected);
        assert_eq!(serde_json::from_str::<CompanyDetails>(&shown).unwrap(), company);
        assert_eq!(COUNTRIES.split_whitespace().count(), 249);
        for bad in ["de", "DEU", "XX", "", "D E"] {
            assert_eq!(CountryCode::try_from(bad.to_owned()), Err(CountryError), "{bad}");
        }
        for bad in ["", "a\nb", &"x".repeat(201)] {
            assert_eq!(NonEmptyText::try_from(bad.to_owned()), Err(TextError), "{bad}");
        }
    }

    #[test]
    fn email_address_needs_name_domain_and_safe_characters() {
        let long = format!("{}@example.test", "a".repeat(65));
        for good in [
            "acme@example.test",
            "a.b+c@mail.example.co.uk",
            "jürgen@exämple.de",
            "o'neil@example.test",
        ] {
            assert_eq!(good.parse::<EmailAddress>().map(String::from).as_deref(), Ok(good));
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
            assert_eq!(bad.parse::<EmailAddress>(), Err(EmailError), "{bad:?}");
        }
    }
}
