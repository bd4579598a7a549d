//! What light did to the whole picture between the background and this frame: one gain and one offset.

#![expect(clippy::cast_possible_truncation, reason = "quotients are clamped to a few levels or gains before the cast")]
#![expect(clippy::cast_possible_wrap, reason = "counts of blocks, below 2^31")]

/// One gain in fixed point: 2^13.
pub(crate) const GAIN_ONE: i32 = 1 << 13;

/// Grey levels of block means: sixteenths.
pub(crate) const LEVEL: i32 = 16;

/// `frame = background * gain / GAIN_ONE + offset / LEVEL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Light {
    /// In 1 / `GAIN_ONE`.
    pub gain: i32,
    /// In 1 / `LEVEL` of a grey level.
    pub offset: i32,
}

impl Light {
    /// No change.
    pub(crate) const SAME: Self = Self { gain: GAIN_ONE, offset: 0 };

    /// Whether it makes a grey of middle brightness brighter.
    pub(crate) fn is_brighter(self) -> bool {
        self.apply(110 * LEVEL) > 110 * LEVEL
    }

    /// What the block mean `background` becomes.
    #[inline(always)]
    pub(crate) fn apply(self, background: i32) -> i32 {
        ((background * self.gain) >> 13) + self.offset
    }

    /// What a grey in 8.7 becomes.
    #[inline(always)]
    pub(crate) fn move_grey(self, grey: i16) -> i16 {
        let offset = self.offset * (1 << 7) / LEVEL;
        (((i32::from(grey) * self.gain) >> 13) + offset).clamp(0, 255 << 7) as i16
    }
}

/// Fewest blocks that tell anything about light.
const BLOCKS_MIN: usize = 16;
/// A gain is only fitted when the blocks differ in brightness: variance in `LEVEL`s squared (30 grey levels squared).
const VARIANCE_MIN: i128 = 30 * (LEVEL as i128) * (LEVEL as i128);

/// Fits light over `(background, frame)` means of blocks in sixteenths of a level.
///
/// It begins with the median difference and refines by three rounds of least squares over the blocks that agree best,
/// so that things that cover less than half of the picture have no say.
pub(crate) fn fit(blocks: &[(i32, i32)], scratch: &mut Vec<i32>) -> Light {
    if blocks.len() < BLOCKS_MIN {
        return Light::SAME;
    }
    let middle = blocks.len() / 2;
    let mut median = |values: &mut dyn Iterator<Item = i32>| {
        scratch.clear();
        scratch.extend(values);
        *scratch.select_nth_unstable(middle).1
    };
    let mut light = Light { gain: GAIN_ONE, offset: median(&mut blocks.iter().map(|&(b, c)| c - b)) };
    for _ in 0..3 {
        let spread = median(&mut blocks.iter().map(|&(b, c)| (c - light.apply(b)).abs()));
        let limit = (spread * 5 / 2).max(LEVEL * 3 / 4);
        let (mut n, mut sum_b, mut sum_c, mut sum_bb, mut sum_bc) = (0i64, 0i64, 0i64, 0i64, 0i64);
        for &(b, c) in blocks {
            if (c - light.apply(b)).abs() <= limit {
                let (b, c) = (i64::from(b), i64::from(c));
                n += 1;
                sum_b += b;
                sum_c += c;
                sum_bb += b * b;
                sum_bc += b * c;
            }
        }
        if n < BLOCKS_MIN as i64 / 2 {
            return Light::SAME;
        }
        // wide products: a picture of 65,535 x 65,535 has 2^24 blocks of 2^12 levels
        let wide = i128::from;
        let variance = wide(n) * wide(sum_bb) - wide(sum_b) * wide(sum_b);
        if variance > VARIANCE_MIN * wide(n) * wide(n) {
            let covariance = wide(n) * wide(sum_bc) - wide(sum_b) * wide(sum_c);
            let one = i128::from(GAIN_ONE);
            light.gain = (covariance * one / variance).clamp(one * 2 / 5, one * 5 / 2) as i32;
        }
        light.offset = ((sum_c - ((sum_b * i64::from(light.gain)) >> 13)) / n) as i32;
    }
    light
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(gain: f64, offset: f64, things: i32) -> Vec<(i32, i32)> {
        (0..220)
            .map(|i| {
                let b = 20 + (i * 37) % 160;
                let mut c = f64::from(b) * gain + offset;
                if i < things {
                    c = 230.0;
                }
                (b * LEVEL, (c * f64::from(LEVEL)) as i32)
            })
            .collect()
    }

    fn check(gain: f64, offset: f64, things: i32) {
        let light = fit(&blocks(gain, offset, things), &mut Vec::new());
        let got = f64::from(light.gain) / f64::from(GAIN_ONE);
        assert!((got - gain).abs() < 0.02, "gain {got} for {gain} {offset} with {things}");
        let got = f64::from(light.offset) / f64::from(LEVEL);
        assert!((got - offset).abs() < 1.0, "offset {got} for {gain} {offset} with {things}");
    }

    #[test]
    fn finds_gain_and_offset_beside_things() {
        check(1.0, 0.0, 0);
        check(1.0, 12.0, 0);
        check(0.62, 0.0, 0);
        check(1.25, -6.0, 0);
        check(0.9, 3.0, 40);
        check(1.0, 0.0, 60);
    }

    #[test]
    fn too_little_says_nothing() {
        assert_eq!(fit(&[(100, 900); 15], &mut Vec::new()), Light::SAME);
        assert_eq!(fit(&[], &mut Vec::new()), Light::SAME);
        // one brightness everywhere: an offset, never a gain
        let light = fit(&[(1600, 2000); 100], &mut Vec::new());
        assert_eq!(light, Light { gain: GAIN_ONE, offset: 400 });
    }
}
