//! Descriptions: whether, how, from which pictures, and for how much money.

use serde::Serialize;

use super::patch::{Group, Patch, flag, int, money, name, string_or_none};
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
    /// Replaces the built-in instruction; null, or a text without a character, means that one.
    #[cfg_attr(feature = "openapi", schema(required, max_length = 4000))]
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
    /// True: nobody outside is asked, only hosts that are loopback or in private networks.
    #[cfg_attr(feature = "openapi", schema(default = false))]
    pub local_only: bool,
    /// What is done to spend less, from which part of a budget on.
    pub routing: Routing,
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

/// What is done to spend less. Nothing of it acts without a budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Routing {
    /// The description of an event of the same camera that looks nearly the same is taken over for so many seconds; 0:
    /// never.
    #[cfg_attr(feature = "openapi", schema(maximum = 3600, default = 300))]
    pub reuse_within_s: u32,
    /// That is done from this part of the day's or month's budget on, percent.
    #[cfg_attr(feature = "openapi", schema(maximum = 100, default = 80))]
    pub reuse_from_percent: u8,
    /// From this part on, who costs least is asked first, percent.
    #[cfg_attr(feature = "openapi", schema(maximum = 100, default = 80))]
    pub cheapest_from_percent: u8,
}

impl Default for Routing {
    fn default() -> Self {
        Self { reuse_within_s: 300, reuse_from_percent: 80, cheapest_from_percent: 80 }
    }
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
            local_only: false,
            routing: Routing::default(),
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
        patch.value("prompt", &mut self.prompt, None, string_or_none(4000));
        patch.value("low_confidence_below", &mut self.low_confidence_below, d.low_confidence_below, int(0..=100));
        patch.value("concurrency", &mut self.concurrency, d.concurrency, int(1..=16));
        patch.group("frames", &mut self.frames);
        patch.group("budgets", &mut self.budgets);
        patch.value("local_only", &mut self.local_only, d.local_only, flag);
        patch.group("routing", &mut self.routing);
    }
}

impl Group for Routing {
    fn patch(&mut self, patch: &mut Patch<'_>) {
        let d = Self::default();
        patch.value("reuse_within_s", &mut self.reuse_within_s, d.reuse_within_s, int(0..=3600));
        patch.value("reuse_from_percent", &mut self.reuse_from_percent, d.reuse_from_percent, int(0..=100));
        patch.value("cheapest_from_percent", &mut self.cheapest_from_percent, d.cheapest_from_percent, int(0..=100));
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
