//! Descriptions: whether, how, from which pictures, and for how much money.

use serde::Serialize;

use super::patch::{Group, Patch, flag, int, money, name, string};
use crate::names::names;

names! {
    /// How the pictures of a multi-frame analysis are chosen.
    FrameStrategy {
        /// Where most moves.
        Adaptive = "adaptive",
        /// Evenly over the event.
        Uniform = "uniform",
    }
}

/// Descriptions.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Ai {
    /// False: events keep their built-in sentence.
    #[cfg_attr(feature = "openapi", schema(default = true))]
    pub enabled: bool,
    /// Replaces the built-in instruction; null means that one.
    #[cfg_attr(feature = "openapi", schema(required, min_length = 1, max_length = 4000))]
    pub prompt: Option<String>,
    /// A description of which the model is less sure, in percent, is marked.
    #[cfg_attr(feature = "openapi", schema(maximum = 100, default = 50))]
    pub low_confidence_below: u8,
    /// Analyses at the same time.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 16, default = 2))]
    pub concurrency: u8,
    /// Pictures for the describer.
    pub frames: Frames,
    /// Limits of what descriptions may cost.
    pub budgets: Budgets,
}

/// Pictures for the describer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Frames {
    /// Pictures of a multi-frame analysis, at most.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 20, default = 6))]
    pub count: u8,
    /// How they are chosen.
    pub strategy: FrameStrategy,
    /// Widest, pixels; never scaled up.
    #[cfg_attr(feature = "openapi", schema(minimum = 320, maximum = 2048, default = 1280))]
    pub max_width: u32,
    /// Quality of the JPEG.
    #[cfg_attr(feature = "openapi", schema(minimum = 40, maximum = 95, default = 85))]
    pub jpeg_quality: u8,
}

/// Limits of what descriptions may cost, US dollars; null means no limit, 0 nothing that costs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Budgets {
    /// In a day of `general.timezone`.
    #[cfg_attr(feature = "openapi", schema(required, minimum = 0))]
    pub daily_usd: Option<f64>,
    /// In a calendar month of `general.timezone`.
    #[cfg_attr(feature = "openapi", schema(required, minimum = 0))]
    pub monthly_usd: Option<f64>,
}

impl Default for Ai {
    fn default() -> Self {
        Self {
            enabled: true,
            prompt: None,
            low_confidence_below: 50,
            concurrency: 2,
            frames: Frames::default(),
            budgets: Budgets::default(),
        }
    }
}

impl Default for Frames {
    fn default() -> Self {
        Self { count: 6, strategy: FrameStrategy::Adaptive, max_width: 1280, jpeg_quality: 85 }
    }
}

impl Group for Ai {
    fn patch(&mut self, patch: &mut Patch<'_>) {
        let d = Self::default();
        patch.value("enabled", &mut self.enabled, d.enabled, flag);
        patch.nullable("prompt", &mut self.prompt, string(1..=4000));
        patch.value("low_confidence_below", &mut self.low_confidence_below, d.low_confidence_below, int(0..=100));
        patch.value("concurrency", &mut self.concurrency, d.concurrency, int(1..=16));
        patch.group("frames", &mut self.frames);
        patch.group("budgets", &mut self.budgets);
    }
}

impl Group for Frames {
    fn patch(&mut self, patch: &mut Patch<'_>) {
        let d = Self::default();
        patch.value("count", &mut self.count, d.count, int(1..=20));
        patch.value("strategy", &mut self.strategy, d.strategy, name);
        patch.value("max_width", &mut self.max_width, d.max_width, int(320..=2048));
        patch.value("jpeg_quality", &mut self.jpeg_quality, d.jpeg_quality, int(40..=95));
    }
}

impl Group for Budgets {
    fn patch(&mut self, patch: &mut Patch<'_>) {
        patch.nullable("daily_usd", &mut self.daily_usd, money);
        patch.nullable("monthly_usd", &mut self.monthly_usd, money);
    }
}
