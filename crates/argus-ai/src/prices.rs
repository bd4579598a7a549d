//! What a call costs, as far as it is known.

use argus_core::Invalid;

/// Prices of a model in US dollars per million tokens; `None` when unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Prices {
    /// Of what is sent.
    pub input_per_million: Option<f64>,
    /// Of what is answered.
    pub output_per_million: Option<f64>,
}

impl Prices {
    /// A model that costs nothing, such as one on the own machine.
    pub const FREE: Self = Self { input_per_million: Some(0.0), output_per_million: Some(0.0) };

    /// US dollars for so many tokens; `None` when a price or a count is unknown, because a part of a sum is no sum.
    #[must_use]
    pub fn cost(&self, tokens_input: Option<u32>, tokens_output: Option<u32>) -> Option<f64> {
        let part = |tokens: Option<u32>, price: Option<f64>| Some(f64::from(tokens?) * price? / 1_000_000.0);
        Some(part(tokens_input, self.input_per_million)? + part(tokens_output, self.output_per_million)?)
    }

    /// Whether nothing is paid, as far as it is known: an unknown price may be any.
    #[must_use]
    pub fn is_free(&self) -> bool {
        *self == Self::FREE
    }

    /// Refuses what is no price.
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        for (name, price) in
            [("input_per_million", self.input_per_million), ("output_per_million", self.output_per_million)]
        {
            if price.is_some_and(|p| !p.is_finite() || p < 0.0) {
                return Err(Invalid::new(format!("prices.{name}"), "is not a number of dollars from 0"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_needs_every_price_and_every_count() {
        let prices = Prices { input_per_million: Some(2.0), output_per_million: Some(8.0) };
        assert_eq!(prices.cost(Some(1_000_000), Some(500_000)), Some(6.0));
        assert_eq!(prices.cost(Some(1), None), None);
        assert_eq!(Prices { output_per_million: None, ..prices }.cost(Some(1), Some(1)), None);
        assert_eq!(Prices::default().cost(Some(1), Some(1)), None);
        assert_eq!(Prices::FREE.cost(Some(7), Some(9)), Some(0.0));
        assert!(Prices::FREE.is_free() && !prices.is_free() && !Prices::default().is_free());
    }

    #[test]
    fn what_is_no_price_is_refused() {
        for bad in [f64::NAN, f64::INFINITY, -0.01] {
            assert!(Prices { input_per_million: Some(bad), output_per_million: None }.check().is_err(), "{bad}");
        }
        assert!(Prices::FREE.check().is_ok() && Prices::default().check().is_ok());
    }
}
