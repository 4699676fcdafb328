//! CSV (RFC 4180) for spreadsheets: lines of cells, and the table of transactions.

use tollgate::domain::money::Usd;
use tollgate::views::transaction::Transaction;

const HEADER: [&str; 8] =
    ["at", "type", "amount", "balance_after", "description", "id", "payment_intent", "invoice"];

/// A header and a line per transaction.
pub(crate) fn table(items: &[Transaction]) -> String {
    let mut text = line(HEADER);
    for item in items {
        let stripe = item.stripe.as_ref();
        let payment = stripe.and_then(|stripe| stripe.payment_intent.as_deref());
        let invoice = stripe.and_then(|stripe| stripe.invoice.as_deref());
        text.push_str(&line([
            &item.at,
            item.kind,
            &item.amount,
            &item.balance_after,
            &item.description,
            &item.id,
            payment.unwrap_or_default(),
            invoice.unwrap_or_default(),
        ]));
    }
    text
}

/// A line of cells.
pub(crate) fn line<const CELLS: usize>(cells: [&str; CELLS]) -> String {
    format!("{}\r\n", cells.map(cell).join(","))
}

/// A cell that a spreadsheet would run as a formula (owasp.org, "CSV Injection") gets an apostrophe
/// in front. Numbers stay numbers.
fn cell(text: &str) -> String {
    let is_formula =
        text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<Usd>().is_err();
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_numbers_stay_numbers() {
        for (text, expected) in [
            ("-1.20", "-1.20"),
            ("25.00", "25.00"),
            ("=1+1", "'=1+1"),
            ("+1 call me", "'+1 call me"),
            ("-2+3", "'-2+3"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\tx", "'\tx"),
            ("=HYPERLINK(\"a\",\"b\")", "\"'=HYPERLINK(\"\"a\"\",\"\"b\"\")\""),
            ("Bonus $5.00: sorry, really", "\"Bonus $5.00: sorry, really\""),
            ("two\nlines", "\"two\nlines\""),
            ("", ""),
        ] {
            assert_eq!(cell(text), expected, "{text}");
        }
    }
}
