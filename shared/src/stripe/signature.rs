//! The signature of a webhook: `t=<unix seconds>,v1=<hex>,…`, HMAC-SHA-256 over `<t>.<body>`
//! (docs.stripe.com/webhooks/signature).
//!
//! It is verified before anything is parsed. While a secret is being replaced the header carries
//! several `v1`, and two secrets are configured: each is tried with each, in constant time.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::domain::timestamp::Timestamp;

/// How old, or how far ahead, a signature may be at the request's time.
pub const TOLERANCE_SECONDS: i64 = 300;

/// Why a signature is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// No header, or none that can be read.
    #[error("the Stripe-Signature header is missing or malformed")]
    Unreadable,
    /// Signed too long ago, or in the future.
    #[error(
        "the signature's timestamp is more than {TOLERANCE_SECONDS} seconds from the request's time"
    )]
    OutOfTime,
    /// Signed with none of the secrets.
    #[error("the signature matches no configured secret")]
    Unknown,
}

/// The longest header that is read, in bytes: a dozen signatures. Stripe sends one for each secret
/// that is in use, which are two while a secret is being replaced.
const HEADER_BYTES_MAX: usize = 1_024;

/// The number of bytes of a signature (HMAC-SHA-256).
const SIGNATURE_BYTES: usize = 32;

/// A signature as the header has it. Reading one needs neither body nor secret, so a request without
/// one costs nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedSignature {
    /// As it was signed.
    time: String,
    signatures: Vec<Vec<u8>>,
}

impl ClaimedSignature {
    /// Reads the header of a request made at `now`.
    ///
    /// # Errors
    /// [`SignatureError::Unreadable`], [`SignatureError::OutOfTime`]
    pub fn read(header: Option<&str>, now: Timestamp) -> Result<ClaimedSignature, SignatureError> {
        let header = header.filter(|header| header.len() <= HEADER_BYTES_MAX);
        let header = header.ok_or(SignatureError::Unreadable)?;
        let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
        let time = parts()
            .find(|(key, _)| *key == "t")
            .map(|(_, time)| time)
            .ok_or(SignatureError::Unreadable)?;
        let seconds: i64 = time.parse().map_err(|_| SignatureError::Unreadable)?;
        let signatures: Vec<Vec<u8>> = parts()
            .filter(|(key, _)| *key == "v1")
            .filter_map(|(_, signature)| from_hex(signature))
            .filter(|signature| signature.len() == SIGNATURE_BYTES)
            .collect();
        if signatures.is_empty() {
            return Err(SignatureError::Unreadable);
        }
        if seconds.abs_diff(now.seconds()) > TOLERANCE_SECONDS.unsigned_abs() {
            return Err(SignatureError::OutOfTime);
        }
        Ok(ClaimedSignature { time: time.to_owned(), signatures })
    }

    /// Verifies a body.
    ///
    /// # Errors
    /// [`SignatureError::Unknown`]
    pub fn verify(&self, body: &[u8], secrets: &[String]) -> Result<(), SignatureError> {
        let mut is_known = false;
        for secret in secrets {
            let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { continue };
            mac.update(self.time.as_bytes());
            mac.update(b".");
            mac.update(body);
            // `verify_slice` compares in constant time, and no comparison is skipped.
            for signature in &self.signatures {
                is_known |= mac.clone().verify_slice(signature).is_ok();
            }
        }
        if is_known { Ok(()) } else { Err(SignatureError::Unknown) }
    }
}

/// Signs a body as Stripe does: for tests.
#[must_use]
pub fn sign(body: &[u8], secret: &str, seconds: i64) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(format!("{seconds}.").as_bytes());
    mac.update(body);
    let hex: String =
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={hex}")
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"id":"evt_1"}"#;

    #[track_caller]
    fn check(
        header: Option<&str>,
        secrets: &[&str],
        now: i64,
        expected: Result<(), SignatureError>,
    ) {
        let secrets: Vec<String> = secrets.iter().map(|secret| (*secret).to_owned()).collect();
        let claimed = ClaimedSignature::read(header, Timestamp::from_seconds(now).unwrap());
        let verified = claimed.and_then(|claimed| claimed.verify(BODY, &secrets));
        assert_eq!(verified, expected, "{header:?}");
    }

    #[test]
    fn every_signature_is_checked_with_every_secret() {
        let signed = sign(BODY, "whsec_new", 1_000_000);
        check(Some(&signed), &["whsec_new"], 1_000_000, Ok(()));
        check(Some(&signed), &["whsec_old", "whsec_new"], 1_000_300, Ok(()));
        check(Some(&signed), &["whsec_new"], 999_700, Ok(()));
        let rotated = signed.replace("v1=", "v1=00ff,v0=12,v1=");
        check(Some(&rotated), &["whsec_new"], 1_000_000, Ok(()));
        check(Some(&signed), &["whsec_new"], 1_000_301, Err(SignatureError::OutOfTime));
        check(Some(&signed), &["whsec_new"], 999_699, Err(SignatureError::OutOfTime));
        check(Some(&signed), &["whsec_old"], 1_000_000, Err(SignatureError::Unknown));
        check(Some(&signed), &[], 1_000_000, Err(SignatureError::Unknown));
        check(
            Some(&signed.replace("t=1000000", "t=1000001")),
            &["whsec_new"],
            1_000_001,
            Err(SignatureError::Unknown),
        );
    }

    #[test]
    fn what_is_no_signature_is_refused() {
        let plain = "0".repeat(64);
        let long = format!("t=1,v1={plain},{}", "v0=00,".repeat(200));
        let no_time = format!("v1={plain}");
        let bad_time = format!("t=x,v1={plain}");
        let none = ["", "t=1", "t=1,v1=00", "t=1,v1=zz", "t=1,v1=0", "t=1,v1=ää"];
        for header in none.into_iter().chain([&*no_time, &*bad_time, &*long]) {
            check(Some(header), &["whsec"], 1, Err(SignatureError::Unreadable));
        }
        check(None, &["whsec"], 1, Err(SignatureError::Unreadable));
        check(
            Some(&format!("t=-99999999999999999999,v1={plain}")),
            &["whsec"],
            1,
            Err(SignatureError::Unreadable),
        );
        let old = format!("t=-9223372036854775808,v1={plain}");
        check(Some(&old), &["whsec"], 1, Err(SignatureError::OutOfTime));
    }
}
