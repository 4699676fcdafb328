//! Each cause has one row.

use std::collections::BTreeSet;

use super::ensure;
use super::row::BookedRow;

#[derive(Debug, Default)]
pub struct CauseBooks {
    causes: BTreeSet<String>,
}

impl CauseBooks {
    /// A payment, a refund, an attempt and a request have one row each.
    ///
    /// # Errors
    /// The rule that is broken, as text.
    pub fn add(&mut self, row: &BookedRow) -> Result<(), String> {
        let change = &row.change;
        let cause = match row.kind.as_str() {
            "topup" | "auto_refill" | "commit" => format!("paid {}", change["payment"]),
            "refund" | "refund_reversed" => format!("{} {}", row.kind, change["by"]),
            "refill_begun" => format!("refill {}", change["n"]),
            _ => {
                let key = &row.event["y"]["request"]["k"];
                if key.is_null() {
                    return Ok(());
                }
                format!("request {key}")
            }
        };
        ensure!(self.causes.insert(cause.clone()), "{cause} has two rows");
        Ok(())
    }
}
