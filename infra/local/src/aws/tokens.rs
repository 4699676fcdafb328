//! Tokens: the issuer that the HTTP API's authorizer trusts, in this process.
//!
//! It uses real RS256: the public key is served as a JWKS, and tokens are checked as the authorizer
//! does. The cryptography is `ring`'s. It signs in constant time (the crate `rsa` has
//! RUSTSEC-2023-0071), and the functions' TLS already uses it, so it adds no dependency. It cannot
//! create RSA keys, so a key is included. The key is public on purpose: the local cloud issues a
//! token to every caller.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPair, PublicKeyComponents};
use ring::signature::{self, KeyPair as _, UnparsedPublicKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use time::UtcDateTime;

use crate::template::wiring::JwtAuthorizer;

/// Tokens made here are valid for ten years of the cloud's clock: they outlast its moves.
const VALID_SECONDS: i64 = 10 * 366 * 24 * 3600;

/// The key of a cloud that was given none: RSA with 2048 bits, as PKCS#8.
const KEY: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/issuer-test-key.pk8"));

/// The issuer's keys.
pub(crate) struct Keys {
    pair: KeyPair,
    id: String,
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Keys").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why a token is rejected. The texts are those of API Gateway's `WWW-Authenticate`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Rejection {
    #[error("the token is missing")]
    Missing,
    #[error("the token is not a JWT")]
    NotAToken,
    #[error("unknown key id")]
    UnknownKey,
    #[error("the token's signature is invalid")]
    Signature,
    #[error("invalid issuer")]
    Issuer,
    #[error("the token does not have a valid audience")]
    Audience,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYet,
}

impl Keys {
    /// The key in `directory`, or the included one.
    ///
    /// # Errors
    ///
    /// If it cannot be read, as text.
    pub(crate) fn open(directory: Option<&Path>) -> Result<Self, String> {
        let file = directory.map(|directory| directory.join("issuer.pk8"));
        let Some(file) = file.filter(|file| file.exists()) else {
            return KeyPair::from_pkcs8(KEY).map(Self::of).map_err(|error| error.to_string());
        };
        let document = std::fs::read(&file).map_err(|error| error.to_string())?;
        KeyPair::from_pkcs8(&document)
            .map(Self::of)
            .map_err(|error| format!("{}: {error}", file.display()))
    }

    fn of(pair: KeyPair) -> Self {
        let id =
            BASE64.encode(Sha256::digest(pair.public_key().as_ref())).chars().take(16).collect();
        Self { pair, id }
    }

    /// The public keys, as an issuer serves them (RFC 7517).
    pub(crate) fn jwks(&self) -> Value {
        let public = PublicKeyComponents::<Vec<u8>>::from(self.pair.public_key());
        json!({"keys": [{
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.id,
            "n": BASE64.encode(public.n),
            "e": BASE64.encode(public.e),
        }]})
    }

    /// A token with these claims, which beat the usual ones.
    ///
    /// # Errors
    ///
    /// If it cannot be signed.
    pub(crate) fn token(
        &self,
        authorizer: Option<&JwtAuthorizer>,
        now: UtcDateTime,
        claims: &Value,
    ) -> Result<String, String> {
        let issued = now.unix_timestamp();
        let mut all = json!({"iat": issued, "exp": issued + VALID_SECONDS});
        if let Some(authorizer) = authorizer {
            all["iss"] = json!(authorizer.issuer);
            all["aud"] = json!(authorizer.audience.first());
        }
        for (name, value) in claims.as_object().into_iter().flatten() {
            all[name] = value.clone();
        }
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": self.id});
        let signed =
            format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(all.to_string()));
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair
            .sign(
                &signature::RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                signed.as_bytes(),
                &mut signature,
            )
            .map_err(|_| "the token cannot be signed".to_owned())?;
        Ok(format!("{signed}.{}", BASE64.encode(signature)))
    }

    /// The claims of a token, checked as in docs.aws.amazon.com/apigateway, "Control access to HTTP
    /// APIs with JWT authorizers". The route checks the scopes.
    ///
    /// # Errors
    ///
    /// The first failed check.
    pub(crate) fn check(
        &self,
        authorizer: &JwtAuthorizer,
        now: UtcDateTime,
        token: &str,
    ) -> Result<Value, Rejection> {
        let parts: Vec<&str> = token.split('.').collect();
        let [header, payload, signature] = parts.as_slice() else {
            return Err(Rejection::NotAToken);
        };
        let head = decode(header).ok_or(Rejection::NotAToken)?;
        let claims = decode(payload).filter(Value::is_object).ok_or(Rejection::NotAToken)?;
        let signature = BASE64.decode(signature).map_err(|_| Rejection::NotAToken)?;
        if head["kid"] != self.id {
            return Err(Rejection::UnknownKey);
        }
        // The algorithm is ours to choose, not the token's.
        if head["alg"] != "RS256" {
            return Err(Rejection::Signature);
        }
        let key = UnparsedPublicKey::new(
            &signature::RSA_PKCS1_2048_8192_SHA256,
            self.pair.public_key().as_ref(),
        );
        key.verify(format!("{header}.{payload}").as_bytes(), &signature)
            .map_err(|_| Rejection::Signature)?;
        if claims["iss"] != authorizer.issuer {
            return Err(Rejection::Issuer);
        }
        // `client_id` counts only where there is no `aud`.
        let audience = if claims["aud"].is_null() { &claims["client_id"] } else { &claims["aud"] };
        if !texts(audience).iter().any(|audience| authorizer.audience.contains(audience)) {
            return Err(Rejection::Audience);
        }
        let now = now.unix_timestamp();
        if claims["exp"].as_i64().is_none_or(|expires| expires <= now) {
            return Err(Rejection::Expired);
        }
        let is_later = |claim: &Value| claim.as_i64().is_some_and(|from| from > now);
        if is_later(&claims["nbf"]) || is_later(&claims["iat"]) {
            return Err(Rejection::NotYet);
        }
        Ok(claims)
    }
}

/// The scopes of a token: `scope`, separated by blanks, or `scp`.
pub(crate) fn scopes(claims: &Value) -> Vec<String> {
    let claim = if claims["scope"].is_null() { &claims["scp"] } else { &claims["scope"] };
    texts(claim).iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect()
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => {
            items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

fn decode(part: &str) -> Option<Value> {
    serde_json::from_slice(&BASE64.decode(part).ok()?).ok()
}
