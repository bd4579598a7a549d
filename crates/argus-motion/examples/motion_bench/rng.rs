//! A small generator of random numbers that is the same everywhere: xorshift64*, seeded through splitmix64.

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// The stream of a seed; `purpose` keeps streams of one seed apart.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(purpose.wrapping_mul(0xd1b5_4a32_d192_ed03));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((z ^ (z >> 31)) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Evenly in 0..1.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }

    pub(crate) fn range(&mut self, from: f32, to: f32) -> f32 {
        from + (to - from) * self.unit()
    }

    /// Below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n.max(1)
    }

    pub(crate) fn chance(&mut self, p: f32) -> bool {
        self.unit() < p
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Normally distributed with deviation 1.
    pub(crate) fn normal(&mut self) -> f32 {
        let radius = (-2.0 * self.unit().max(1e-7).ln()).sqrt();
        radius * (std::f32::consts::TAU * self.unit()).cos()
    }
}

/// A table of normal numbers: drawing 230,400 of them a frame one by one would be most of the bench's time.
pub(crate) struct Normals(Vec<f32>);

impl Normals {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 77);
        Self((0..1 << 16).map(|_| rng.normal()).collect())
    }

    /// Adds noise of deviation `sigma` to a row, beginning anywhere in the table.
    pub(crate) fn add(&self, row: &mut [f32], sigma: f32, rng: &mut Rng) {
        let at = rng.below(self.0.len() - row.len());
        for (v, n) in row.iter_mut().zip(&self.0[at..]) {
            *v += n * sigma;
        }
    }
}
