//! Settings with their factory values (contract 12.2), as far as something acts on them.

/// What the running system asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Days in schedules and prompts: IANA name.
    pub timezone: String,
    /// Language of descriptions.
    pub language: String,
    /// Whether events are described at all.
    pub ai_enabled: bool,
    /// Replaces the built-in instruction.
    pub prompt: Option<String>,
    /// An answer below this percentage is marked.
    pub low_confidence_below: u8,
    /// Analyses at the same time, 1..16.
    pub concurrency: usize,
    /// Pictures of a multi-frame analysis, 1..20.
    pub frame_count: usize,
    /// Widest picture for the describer, pixels.
    pub frame_max_width: u32,
    /// 40..95.
    pub jpeg_quality: u8,
    /// Pixels.
    pub thumbnail_width: u32,
    /// Whether clips are kept.
    pub store_clips: bool,
    /// Whether the describer's pictures are kept.
    pub store_frames: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timezone: "UTC".into(),
            language: "en".into(),
            ai_enabled: true,
            prompt: None,
            low_confidence_below: 50,
            concurrency: 2,
            frame_count: 6,
            frame_max_width: 1280,
            jpeg_quality: 85,
            thumbnail_width: 640,
            store_clips: true,
            store_frames: true,
        }
    }
}
