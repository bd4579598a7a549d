//! The scenes: what passes, what disturbs, and the exact truth of every picture.

use crate::rng::{Normals, Rng};
use crate::stage::{CYCLE, H, Sprite, Stage, W, bilinear, car};

/// Pictures a second that are composed.
pub(crate) const RATE: usize = 10;

/// What disturbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    Clean,
    Night,
    Step,
    Ramp,
    Flicker,
    Rain,
    Sway,
    Cloud,
    Shake,
}

impl Scene {
    pub(crate) const ALL: [Self; 9] = [
        Self::Clean,
        Self::Night,
        Self::Step,
        Self::Ramp,
        Self::Flicker,
        Self::Rain,
        Self::Sway,
        Self::Cloud,
        Self::Shake,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Night => "night",
            Self::Step => "step",
            Self::Ramp => "ramp",
            Self::Flicker => "flicker",
            Self::Rain => "rain",
            Self::Sway => "sway",
            Self::Cloud => "cloud",
            Self::Shake => "shake",
        }
    }
}

/// A passage in one picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Seen {
    /// Which of the clip's passages.
    pub(crate) passage: usize,
    /// Left, upper, right and lower edge in pixels of the full picture.
    pub(crate) bounds: [usize; 4],
    /// Pixels of it that are seen.
    pub(crate) area: usize,
}

/// What goes through the picture.
struct Passage {
    cycle: Vec<Sprite>,
    from: f32,
    to: f32,
    start: (f32, f32),
    end: (f32, f32),
}

/// How strong a seed's disturbances are.
struct Strength {
    noise: f32,
    night_gain: f32,
    night_noise: f32,
    steps: Vec<(f32, f32)>,
    phases: (f32, f32),
    flicker: (f32, f32),
    rain: usize,
    trees: [(f32, f32, f32, f32); 2],
    clouds: Vec<(f32, f32, f32)>,
    shake: f32,
}

/// Everything a seed decides.
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) pictures: usize,
    passages: Vec<Passage>,
    strength: Strength,
    sway: Vec<f32>,
    leaves: Vec<f32>,
    normals: Normals,
}

impl Plan {
    pub(crate) fn new(seed: u64, seconds: usize, stage: &Stage) -> Self {
        let mut rng = Rng::new(seed, 2);
        let passages = passages(&mut rng, seconds as f32, stage);
        let strength = strength(&mut rng, seconds as f32);
        let (sway, leaves) = foliage(&mut rng, &strength);
        Self { seed, pictures: seconds * RATE, passages, strength, sway, leaves, normals: Normals::new(seed) }
    }

    pub(crate) fn passages(&self) -> usize {
        self.passages.len()
    }

    /// What is to be seen in picture `i`; draws it into `into` when there is one.
    pub(crate) fn things(&self, i: usize, mut into: Option<&mut [f32]>) -> Vec<Seen> {
        let t = i as f32 / RATE as f32;
        let mut seen = Vec::new();
        for (passage, p) in self.passages.iter().enumerate().filter(|(_, p)| p.from <= t && t < p.to) {
            let u = (t - p.from) / (p.to - p.from);
            let s = &p.cycle[i % p.cycle.len()];
            let x = (p.start.0 + (p.end.0 - p.start.0) * u).round() as isize;
            let y = (p.start.1 + (p.end.1 - p.start.1) * u).round() as isize;
            let clip = |v: isize, most: usize| v.clamp(0, most as isize) as usize;
            let (x0, x1) = (clip(x, W), clip(x + s.w as isize, W));
            let (y0, y1) = (clip(y, H), clip(y + s.h as isize, H));
            let mut area = 0;
            for py in y0..y1 {
                for px in x0..x1 {
                    let at = (py as isize - y) as usize * s.w + (px as isize - x) as usize;
                    let a = s.alpha[at];
                    area += usize::from(a > 0.5);
                    if let Some(picture) = into.as_deref_mut() {
                        let v = &mut picture[py * W + px];
                        *v = *v * (1.0 - a) + s.luma[at] * a;
                    }
                }
            }
            if area > 0 {
                seen.push(Seen { passage, bounds: [x0, y0, x1, y1], area });
            }
        }
        seen
    }

    /// Picture `i` of a scene as limited-range luma, 16 black to 235 white, as cameras send it.
    pub(crate) fn picture(&self, scene: Scene, i: usize, stage: &Stage, work: &mut Vec<f32>, out: &mut [u8]) {
        let t = i as f32 / RATE as f32;
        let mut rng = Rng::new(self.seed, 1000 + i as u64 * 16 + scene as u64);
        let s = &self.strength;
        work.clear();
        work.extend_from_slice(&stage.background);
        self.things(i, Some(work));
        let mut noise = s.noise;
        match scene {
            Scene::Clean => {}
            Scene::Night => {
                gain(work, s.night_gain, 6.0);
                noise = s.night_noise;
            }
            Scene::Step => {
                let level = s.steps.iter().rev().find(|(at, _)| *at <= t).map_or(1.0, |(_, level)| *level);
                gain(work, level, 0.0);
            }
            Scene::Ramp => {
                let slow = 1.0 - 0.22 * (1.0 - wave(t / 20.0, s.phases.0 + std::f32::consts::FRAC_PI_2));
                gain(work, slow + 0.12 * wave(t / 7.0, s.phases.1), 0.0);
            }
            Scene::Flicker => {
                let (f, amplitude) = s.flicker;
                gain(work, 1.0 + amplitude * wave(f * t, 0.0) + amplitude * 0.4 * wave(3.7 * t, 0.0), 0.0);
            }
            Scene::Rain => rain(work, s.rain, &mut rng),
            Scene::Sway => self.sway(work, t),
            Scene::Cloud => clouds(work, &s.clouds, t),
            Scene::Shake => shift(work, rng.normal() * s.shake, rng.normal() * s.shake),
        }
        for (row, out) in work.chunks_exact_mut(W).zip(out.chunks_exact_mut(W)) {
            self.normals.add(row, noise, &mut rng);
            for (v, o) in row.iter().zip(out) {
                *o = (16.0 + v.clamp(0.0, 255.0) * (219.0 / 255.0)).round() as u8;
            }
        }
    }

    /// Leaves over two places of the picture, moved by gusts; what is behind them shows through by half.
    fn sway(&self, picture: &mut [f32], t: f32) {
        let gust = 1.0 + 0.5 * wave(t / 11.0, 0.0);
        for y in 0..H {
            let ripple = 1.2 * wave(1.1 * t, y as f32 / 19.0);
            for x in 0..W {
                let weight = self.sway[y * W + x];
                if weight > 0.0 {
                    let dx = weight * (3.2 * gust * wave(0.45 * t, 0.0) + ripple);
                    let dy = weight * 1.4 * wave(0.37 * t, 1.0);
                    let leaf = bilinear(&self.leaves, W, H, x as f32 + dx, y as f32 + dy);
                    let v = &mut picture[y * W + x];
                    *v = *v * (1.0 - 0.5 * weight) + weight * (leaf + 45.0);
                }
            }
        }
    }
}

fn wave(turns: f32, phase: f32) -> f32 {
    (turns * std::f32::consts::TAU + phase).sin()
}

fn gain(picture: &mut [f32], by: f32, plus: f32) {
    for v in picture {
        *v = *v * by + plus;
    }
}

fn rain(picture: &mut [f32], drops: usize, rng: &mut Rng) {
    for _ in 0..drops {
        let (x, y, length) = (rng.below(W), rng.below(H), 8 + rng.below(18));
        let bright = rng.range(30.0, 80.0);
        for k in 0..=length {
            let px = x + (k as f32 * 0.15).round() as usize;
            if px < W && y + k < H {
                picture[(y + k) * W + px] += bright;
            }
        }
    }
}

fn clouds(picture: &mut [f32], clouds: &[(f32, f32, f32)], t: f32) {
    for y in 0..H {
        for x in 0..W {
            let mut shade = 1.0f32;
            for &(at, speed, depth) in clouds {
                let centre = -250.0 + (t - at) * speed;
                let cover = 1.4 - (x as f32 + 0.3 * y as f32 - centre).abs() / 170.0;
                shade = shade.min(1.0 - depth * cover.clamp(0.0, 1.0));
            }
            picture[y * W + x] *= shade;
        }
    }
}

fn shift(picture: &mut [f32], dx: f32, dy: f32) {
    let still = picture.to_vec();
    for y in 0..H {
        for x in 0..W {
            picture[y * W + x] = bilinear(&still, W, H, x as f32 - dx, y as f32 - dy);
        }
    }
}

/// People and cars, one after the other, sometimes two at once; the first eight seconds and the last few are empty.
fn passages(rng: &mut Rng, seconds: f32, stage: &Stage) -> Vec<Passage> {
    let mut list = Vec::new();
    let mut t = 8.0;
    while t < seconds - 6.0 {
        let (y0, y1) = (rng.range(110.0, 270.0), rng.range(110.0, 270.0));
        let left = rng.chance(0.5);
        let (cycle, lasts, start, end) = if rng.chance(0.75) {
            let scale = rng.pick(&[0.5, 0.7, 1.0, 1.0, 1.3, 2.2]);
            let lasts = rng.range(4.0, 9.0);
            // people walk between a third of and one and a half body heights a second
            let way = rng.range(0.35, 1.5) * 55.0 * scale * lasts;
            let walker = rng.below(stage.walkers.len());
            let cycle: Vec<Sprite> = stage.walkers[walker].iter().map(|s| s.scaled(scale)).collect();
            debug_assert_eq!(cycle.len(), CYCLE);
            let x0 = if left { -30.0 } else { 650.0 };
            let start = (x0, y0);
            (cycle, lasts, start, (if left { x0 + way } else { x0 - way }, y0 + (y1 - y0) * 0.5))
        } else {
            let lasts = rng.range(1.0, 2.5);
            let (a, b) = ((-110.0, y0), (660.0, y0 + rng.range(-20.0, 20.0)));
            (vec![car(rng)], lasts, if left { a } else { b }, if left { b } else { a })
        };
        list.push(Passage { cycle, from: t, to: t + lasts, start, end });
        t += if rng.chance(0.85) { lasts + rng.range(2.0, 6.0) } else { lasts * 0.4 };
    }
    list
}

fn strength(rng: &mut Rng, seconds: f32) -> Strength {
    let mut tree = || (rng.range(60.0, 580.0), rng.range(30.0, 75.0), rng.range(50.0, 100.0), rng.range(35.0, 60.0));
    let trees = [tree(), tree()];
    // three jumps of exposure, by a fifth to a half, back and forth
    let mut steps = Vec::new();
    let mut level = 1.0;
    for k in 0..3 {
        let at = seconds * (0.2 + 0.27 * k as f32) + rng.range(0.0, seconds * 0.15);
        let next: f32 = if level < 0.95 { rng.range(1.05, 1.3) } else { rng.range(0.55, 0.8) };
        level = next;
        steps.push((at, level));
    }
    let clouds = (0..3)
        .map(|k| {
            (
                seconds * (0.1 + 0.3 * k as f32) + rng.range(0.0, seconds * 0.2),
                rng.range(90.0, 180.0),
                rng.range(0.2, 0.4),
            )
        })
        .collect();
    Strength {
        noise: rng.range(2.0, 3.0),
        night_gain: rng.range(0.3, 0.4),
        night_noise: rng.range(7.0, 10.0),
        steps,
        phases: (rng.range(0.0, std::f32::consts::TAU), rng.range(0.0, std::f32::consts::TAU)),
        flicker: (rng.range(0.8, 2.5), rng.range(0.03, 0.07)),
        rain: 120 + rng.below(200),
        trees,
        clouds,
        shake: rng.range(0.5, 0.9),
    }
}

/// How much each pixel is covered by leaves, and the leaves: noise between two sizes.
fn foliage(rng: &mut Rng, strength: &Strength) -> (Vec<f32>, Vec<f32>) {
    let mut cover = vec![0.0f32; W * H];
    for (i, c) in cover.iter_mut().enumerate() {
        for &(cx, cy, rx, ry) in &strength.trees {
            let (dx, dy) = (((i % W) as f32 - cx) / rx, ((i / W) as f32 - cy) / ry);
            *c = c.max((1.6 - 1.6 * (dx * dx + dy * dy)).clamp(0.0, 1.0));
        }
    }
    let white: Vec<f32> = (0..W * H).map(|_| rng.normal()).collect();
    let (fine, coarse) = (smooth(&white, 2.2), smooth(&white, 7.0));
    let mut leaves: Vec<f32> = fine.iter().zip(&coarse).map(|(f, c)| f - c).collect();
    let power = (leaves.iter().map(|v| v * v).sum::<f32>() / leaves.len() as f32).sqrt();
    for v in &mut leaves {
        *v *= 26.0 / power;
    }
    (cover, leaves)
}

/// A Gaussian of deviation `sigma`.
fn smooth(src: &[f32], sigma: f32) -> Vec<f32> {
    let reach = (sigma * 3.0).ceil() as isize;
    let kernel: Vec<f32> = (-reach..=reach).map(|k| (-(k * k) as f32 / (2.0 * sigma * sigma)).exp()).collect();
    let total: f32 = kernel.iter().sum();
    let mut now = src.to_vec();
    for horizontal in [true, false] {
        let before = now.clone();
        for y in 0..H {
            for x in 0..W {
                let mut sum = 0.0;
                for (k, weight) in (-reach..=reach).zip(&kernel) {
                    let (px, py) = if horizontal {
                        ((x as isize + k).clamp(0, W as isize - 1) as usize, y)
                    } else {
                        (x, (y as isize + k).clamp(0, H as isize - 1) as usize)
                    };
                    sum += weight * before[py * W + px];
                }
                now[y * W + x] = sum / total;
            }
        }
    }
    now
}
