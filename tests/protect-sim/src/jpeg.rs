//! A writer of grey JPEGs whose blocks of 8 × 8 pixels are each of one shade.
//!
//! Such a block is one number, so that a picture of two megapixels takes a few milliseconds even where nothing is
//! optimised, and the console under test can serve many (image's encoder took 480 ms, 2026-11-28). Baseline, ITU T.81.

/// Writes a picture with a comment; `shade` tells the grey of a pixel.
pub(crate) fn encode((width, height): (u32, u32), comment: &str, shade: impl Fn(u32, u32) -> u8) -> Vec<u8> {
    let mut out = vec![0xff, 0xd8];
    segment(&mut out, 0xfe, comment.as_bytes());
    // Every quantiser is 8: the first coefficient of a block of one shade is 8 times its distance from 128.
    segment(&mut out, 0xdb, &[&[0_u8][..], &[8; 64]].concat());
    let side = |n: u32| u16::try_from(n).unwrap_or(u16::MAX).to_be_bytes();
    let (high, wide) = (side(height), side(width));
    // 8 bits a sample, one component with the number 1, not subsampled, quantised by table 0.
    segment(&mut out, 0xc0, &[&[8_u8][..], &high, &wide, &[1, 1, 0x11, 0]].concat());
    // For sizes of differences, 12 codes of 4 bits that are the sizes themselves; for all else, one code of 1 bit that ends
    // the block.
    let (mut sizes, mut rest) = ([0_u8; 16], [0_u8; 16]);
    sizes[3] = 12;
    rest[0] = 1;
    segment(&mut out, 0xc4, &[&[0_u8][..], &sizes, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]].concat());
    segment(&mut out, 0xc4, &[&[0x10_u8][..], &rest, &[0]].concat());
    segment(&mut out, 0xda, &[1, 1, 0, 0, 63, 0]);
    let mut bits = Bits { out, held: 0, count: 0 };
    let mut former = 0_i32;
    for y in 0..height.div_ceil(8) {
        for x in 0..width.div_ceil(8) {
            let (x, y) = ((x * 8 + 4).min(width.saturating_sub(1)), (y * 8 + 4).min(height.saturating_sub(1)));
            let level = i32::from(shade(x, y)) - 128;
            bits.block(level - former);
            former = level;
        }
    }
    bits.end()
}

fn segment(out: &mut Vec<u8>, marker: u8, body: &[u8]) {
    out.extend([0xff, marker]);
    out.extend(u16::try_from(body.len() + 2).unwrap_or(2).to_be_bytes());
    out.extend(body);
}

/// Bits on their way to bytes.
struct Bits {
    out: Vec<u8>,
    held: u32,
    count: u32,
}

impl Bits {
    /// A block, by how much it is lighter than the one before.
    fn block(&mut self, difference: i32) {
        let size = 32 - difference.unsigned_abs().leading_zeros();
        self.put(size, 4);
        // A negative number is written as the complement of its amount.
        let value = difference.unsigned_abs();
        let value = if difference < 0 { ((1 << size) - 1) ^ value } else { value };
        self.put(value, size);
        self.put(0, 1);
    }

    /// At most 12 bits.
    fn put(&mut self, value: u32, count: u32) {
        self.held = (self.held << count) | value;
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            let [.., byte] = (self.held >> self.count).to_be_bytes();
            self.out.push(byte);
            if byte == 0xff {
                // So that it is no marker.
                self.out.push(0);
            }
        }
        self.held &= (1 << self.count) - 1;
    }

    fn end(mut self) -> Vec<u8> {
        // Filled up with ones.
        let left = (8 - self.count) % 8;
        self.put((1 << left) - 1, left);
        self.out.extend([0xff, 0xd9]);
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoders_see_the_shades() {
        for size in [(8, 8), (64, 16), (97, 53), (1920, 1080)] {
            let shade = |x: u32, y: u32| u8::try_from((x / 8 * 7 + y / 8 * 13) % 256).unwrap();
            let jpeg = encode(size, "a comment", shade);
            let seen = image::load_from_memory(&jpeg).unwrap().to_luma8();
            assert_eq!(seen.dimensions(), size);
            for (x, y, pixel) in seen.enumerate_pixels() {
                let wanted = shade((x / 8 * 8 + 4).min(size.0 - 1), (y / 8 * 8 + 4).min(size.1 - 1));
                assert!(pixel.0[0].abs_diff(wanted) <= 1, "{size:?} {x} {y}");
            }
        }
    }
}
