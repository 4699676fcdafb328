//! Secrets Manager, as far as functions use it: `GetSecretValue`
//! (docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html).

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::aws::aws_json::{Failure, Failures};
use crate::runtime::names;
use crate::runtime::sync::lock;

/// The secrets, by ARN.
#[derive(Default)]
pub(crate) struct Secrets {
    kept: Mutex<BTreeMap<String, String>>,
}

impl Secrets {
    /// Keeps a secret, or another value of it.
    pub(crate) fn put(&self, arn: &str, text: &str) {
        lock(&self.kept).insert(arn.to_owned(), text.to_owned());
    }

    /// `GetSecretValue`, by ARN or by name.
    pub(crate) fn value(&self, request: &Value) -> Result<Value, Failure> {
        let Some(id) = request["SecretId"].as_str().filter(|id| !id.is_empty()) else {
            return Err(
                Failures::SECRETS.named("InvalidParameterException", "SecretId is missing.")
            );
        };
        let kept = lock(&self.kept);
        let Some((arn, text)) = kept.iter().find(|(arn, _)| arn.as_str() == id || name(arn) == id)
        else {
            let message = "Secrets Manager can't find the specified secret.";
            return Err(Failures::SECRETS.named("ResourceNotFoundException", message));
        };
        Ok(json!({
            "ARN": arn,
            "Name": name(arn),
            "VersionId": names::new_id(),
            "VersionStages": ["AWSCURRENT"],
            "SecretString": text,
        }))
    }
}

/// Without the secrets.
impl std::fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(lock(&self.kept).keys()).finish()
    }
}

/// An ARN ends with the name, a hyphen and six characters.
fn name(arn: &str) -> &str {
    let last = arn.rsplit(':').next().unwrap_or_default();
    last.rsplit_once('-').map_or(last, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_by_arn_and_by_name_and_no_other() {
        let (secrets, arn) = (Secrets::default(), names::stripe_secret());
        secrets.put(&arn, "first");
        secrets.put(&arn, "second");
        for id in [arn.as_str(), "tollgate-local-stripe"] {
            let found = secrets.value(&json!({"SecretId": id})).unwrap();
            assert_eq!((&found["ARN"], &found["SecretString"]), (&json!(arn), &json!("second")));
        }
        let refused = |request: Value| secrets.value(&request).unwrap_err().parts().0.to_owned();
        assert_eq!(refused(json!({"SecretId": "tollgate-local"})), "ResourceNotFoundException");
        assert_eq!(refused(json!({})), "InvalidParameterException");
        assert!(!format!("{secrets:?}").contains("second"));
    }
}
