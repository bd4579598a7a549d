//! Numbers that look random and are the same for the same seed (`SplitMix64`).

/// The source of them.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// True in `percent` of a hundred cases.
    pub(crate) fn percent(&mut self, percent: u8) -> bool {
        self.next() % 100 < u64::from(percent)
    }

    /// 24 hex digits, as ids were until Protect 6.
    pub(crate) fn hex_id(&mut self) -> String {
        format!("{:016x}{:08x}", self.next(), self.next() >> 32)
    }

    /// As ids are since Protect 7, and as update ids always were.
    pub(crate) fn uuid(&mut self) -> String {
        let (high, low) = (u128::from(self.next()), u128::from(self.next()));
        uuid::Builder::from_random_bytes(((high << 64) | low).to_be_bytes()).into_uuid().to_string()
    }

    /// 16 letters and digits, as RTSP aliases are.
    pub(crate) fn alias(&mut self) -> String {
        const SIGNS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz0123456789";
        let count = u64::try_from(SIGNS.len()).unwrap_or(1);
        (0..16)
            .filter_map(|_| usize::try_from(self.next() % count).ok())
            .filter_map(|at| SIGNS.get(at).copied())
            .map(char::from)
            .collect()
    }
}
