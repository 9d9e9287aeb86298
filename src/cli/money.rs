//! Money, as people read it.

use meshlog_connectors::api::Usd;

/// An amount with all its figures, and at least cents.
pub(super) fn dollars(amount: Usd) -> String {
    let text = amount.to_string();
    let cents = text.len() - "0000000".len();
    let (whole, rest) = text.split_at(cents);
    format!("{whole}{}", rest.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_figure_is_lost_and_cents_stay() {
        let shown = [0, 10_000_000, 1_500_000_000, 1_250, 1, -70_000_000].map(|nanos| dollars(Usd::from_nanos(nanos)));
        assert_eq!(shown, ["0.00", "0.01", "1.50", "0.00000125", "0.000000001", "-0.07"]);
    }
}
