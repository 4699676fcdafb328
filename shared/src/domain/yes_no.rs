//! A `bool` that is stored as `"yes"` or `"no"`, for `#[serde(with = "yes_no")]`.
//!
//! Rows have held these words since before the fields were `bool`, so the words stay.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum YesNo {
    Yes,
    No,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn serialize<S: Serializer>(value: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    let word = if *value { YesNo::Yes } else { YesNo::No };
    word.serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(matches!(YesNo::deserialize(deserializer)?, YesNo::Yes))
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Answer(#[serde(with = "super")] bool);

    #[test]
    fn bool_is_stored_as_a_word() {
        for (value, word) in [(true, "yes"), (false, "no")] {
            assert_eq!(serde_json::to_value(Answer(value)).unwrap(), json!(word));
            assert_eq!(serde_json::from_value::<Answer>(json!(word)).unwrap(), Answer(value));
        }
        assert!(serde_json::from_value::<Answer>(json!("true")).is_err());
        assert!(serde_json::from_value::<Answer>(json!(true)).is_err());
    }
}
