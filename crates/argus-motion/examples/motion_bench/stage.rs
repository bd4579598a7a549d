//! Where things happen and who walks there: a background and cut-out people, either from footage or drawn.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::rng::Rng;

/// Width of the composed picture.
pub(crate) const W: usize = 640;
/// Height of the composed picture.
pub(crate) const H: usize = 360;
/// Pictures of a walk cycle.
pub(crate) const CYCLE: usize = 12;

/// A cut-out: luma and how much of it is seen, row by row.
#[derive(Clone, Debug)]
pub(crate) struct Sprite {
    pub(crate) w: usize,
    pub(crate) h: usize,
    pub(crate) luma: Vec<f32>,
    pub(crate) alpha: Vec<f32>,
}

/// A background and the walk cycles that go with it.
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) background: Vec<f32>,
    pub(crate) walkers: Vec<Vec<Sprite>>,
}

impl Sprite {
    fn new(w: usize, h: usize) -> Self {
        Self { w, h, luma: vec![0.0; w * h], alpha: vec![0.0; w * h] }
    }

    /// The sprite in another size, by the mean of four samples a pixel.
    pub(crate) fn scaled(&self, scale: f32) -> Self {
        let side = |n: usize| ((n as f32 * scale).round() as usize).max(2);
        let mut out = Self::new(side(self.w), side(self.h));
        let (fx, fy) = (self.w as f32 / out.w as f32, self.h as f32 / out.h as f32);
        for y in 0..out.h {
            for x in 0..out.w {
                let (mut l, mut a) = (0.0, 0.0);
                for (dx, dy) in [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)] {
                    let (sx, sy) = ((x as f32 + dx) * fx - 0.5, (y as f32 + dy) * fy - 0.5);
                    l += bilinear(&self.luma, self.w, self.h, sx, sy) / 4.0;
                    a += bilinear(&self.alpha, self.w, self.h, sx, sy) / 4.0;
                }
                out.luma[y * out.w + x] = l;
                out.alpha[y * out.w + x] = a;
            }
        }
        out
    }
}

/// Reads between pixels; beyond the edge it is the edge.
pub(crate) fn bilinear(of: &[f32], w: usize, h: usize, x: f32, y: f32) -> f32 {
    let (x, y) = (x.clamp(0.0, w as f32 - 1.0), y.clamp(0.0, h as f32 - 1.0));
    let (x0, y0) = (x as usize, y as usize);
    let (x1, y1) = ((x0 + 1).min(w - 1), (y0 + 1).min(h - 1));
    let (u, v) = (x - x0 as f32, y - y0 as f32);
    let top = of[y0 * w + x0] * (1.0 - u) + of[y0 * w + x1] * u;
    let bottom = of[y1 * w + x0] * (1.0 - u) + of[y1 * w + x1] * u;
    top * (1.0 - v) + bottom * v
}

/// A car: a box with a window and wheels, textured.
pub(crate) fn car(rng: &mut Rng) -> Sprite {
    let mut s = Sprite::new(110, 46);
    let (body, window) = (rng.range(30.0, 210.0), rng.range(20.0, 200.0));
    for y in 0..s.h {
        for x in 0..s.w {
            let mut v = body;
            if (4..22).contains(&y) && (20..90).contains(&x) {
                v = window;
            }
            if y >= 38 && ((12..32).contains(&x) || (78..98).contains(&x)) {
                v = 15.0;
            }
            s.luma[y * s.w + x] = (v + rng.range(-12.0, 12.0)).clamp(0.0, 255.0);
            s.alpha[y * s.w + x] = 1.0;
        }
    }
    s
}

/// A street and people of capsules: needs no footage.
pub(crate) fn drawn(seed: u64) -> Stage {
    let mut rng = Rng::new(seed, 1);
    let mut background = vec![0.0; W * H];
    let horizon = rng.range(70.0, 120.0) as usize;
    let (wall, road, sky) = (rng.range(60.0, 150.0), rng.range(70.0, 160.0), rng.range(150.0, 220.0));
    // walls with windows, a pavement, a road; noise of several sizes over all of it
    let edges: Vec<usize> = (0..6).map(|i| i * W / 6 + rng.below(60)).collect();
    let tones: Vec<f32> = (0..7).map(|_| rng.range(-35.0, 35.0)).collect();
    for y in 0..H {
        for x in 0..W {
            let house = edges.iter().filter(|&&e| e <= x).count();
            background[y * W + x] = if y < horizon / 3 {
                sky
            } else if y < horizon {
                let window = (x / 14) % 3 == 0 && (y / 12) % 2 == 0;
                wall + tones[house] + if window { -30.0 } else { 0.0 }
            } else if y < horizon + 40 {
                road + 25.0 + if (x + y * 2) / 24 % 2 == 0 { 6.0 } else { 0.0 }
            } else {
                road + if y > 220 && y < 226 && (x / 40) % 2 == 0 { 60.0 } else { 0.0 }
            };
        }
    }
    for (cell, strength) in [(40, 10.0), (11, 7.0), (3, 5.0)] {
        let (gw, gh) = (W / cell + 2, H / cell + 2);
        let grid: Vec<f32> = (0..gw * gh).map(|_| rng.normal() * strength).collect();
        for y in 0..H {
            for x in 0..W {
                background[y * W + x] += bilinear(&grid, gw, gh, x as f32 / cell as f32, y as f32 / cell as f32);
            }
        }
    }
    for v in &mut background {
        *v = v.clamp(5.0, 250.0);
    }
    let walkers = (0..8).map(|_| person(&mut rng, road)).collect();
    Stage { name: "drawn", background, walkers }
}

/// A walk cycle: head, trunk, two arms and two legs that swing.
///
/// Clothes are never of the ground's own brightness: who wears that is not seen by people either.
fn person(rng: &mut Rng, ground: f32) -> Vec<Sprite> {
    let mut clothes = |from: f32, to: f32| {
        let tone = rng.range(from, to);
        let away = tone - ground;
        if away.abs() < 40.0 { (ground + 40.0f32.copysign(away)).clamp(5.0, 245.0) } else { tone }
    };
    let (trunk, legs) = (clothes(20.0, 230.0), clothes(15.0, 140.0));
    let (head, arms) = (rng.range(90.0, 200.0), rng.range(20.0, 230.0));
    let build = rng.range(0.85, 1.25);
    (0..CYCLE)
        .map(|k| {
            let phase = k as f32 / CYCLE as f32 * std::f32::consts::TAU;
            let mut s = Sprite::new(26, 56);
            let swing = phase.sin();
            let mut limb = |from: (f32, f32), to: (f32, f32), radius: f32, tone: f32| {
                for y in 0..s.h {
                    for x in 0..s.w {
                        let (px, py) = (x as f32 - from.0, y as f32 - from.1);
                        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
                        let t = ((px * dx + py * dy) / (dx * dx + dy * dy).max(0.01)).clamp(0.0, 1.0);
                        let d = (px - dx * t).hypot(py - dy * t);
                        let a = (radius + 0.5 - d).clamp(0.0, 1.0);
                        let at = y * s.w + x;
                        let shade = tone + (x as f32 - 13.0) * 1.2;
                        s.luma[at] = s.luma[at] * (1.0 - a) + shade.clamp(0.0, 255.0) * a;
                        s.alpha[at] = s.alpha[at].max(a);
                    }
                }
            };
            let hip = (13.0, 30.0);
            limb((13.0, 14.0), (13.0 - 6.0 * swing, 29.0), 1.8 * build, arms * 0.8);
            limb(hip, (13.0 - 7.5 * swing, 53.0), 2.8 * build, legs * 0.85);
            limb(hip, (13.0 + 7.5 * swing, 53.0), 2.8 * build, legs);
            limb((13.0, 14.0), hip, 5.2 * build, trunk);
            limb((13.0, 14.0), (13.0 + 6.0 * swing, 29.0), 1.8 * build, arms);
            limb((13.0, 4.5), (13.0, 6.0), 3.6, head);
            s
        })
        .collect()
}

/// The walkway of `vtest.avi` (`OpenCV`'s samples), people cut out of it. `None` when there is no film or no ffmpeg.
pub(crate) fn filmed(film: &Path) -> Option<Stage> {
    // the background: the median of every twelfth picture
    let mut every = Vec::new();
    film_pictures(film, |i, picture| {
        if i % 12 == 0 {
            every.push(picture.to_vec());
        }
    })?;
    if every.len() < 20 {
        return None;
    }
    let mut median = vec![0u8; W * H * 3];
    let mut values = vec![0u8; every.len()];
    for (i, m) in median.iter_mut().enumerate() {
        for (v, picture) in values.iter_mut().zip(&every) {
            *v = picture[i];
        }
        *m = *values.select_nth_unstable(every.len() / 2).1;
    }
    drop(every);
    // people: the last CYCLE pictures are kept, and a person is looked for in the oldest of them every five pictures
    let mut window: Vec<Vec<u8>> = Vec::new();
    let mut walkers = Vec::new();
    film_pictures(film, |i, picture| {
        if window.len() == CYCLE {
            window.rotate_left(1);
            window[CYCLE - 1].copy_from_slice(picture);
        } else {
            window.push(picture.to_vec());
        }
        if window.len() == CYCLE && i % 5 == 0 && walkers.len() < 10 {
            cut_out(&window, &median, &mut walkers);
        }
    })?;
    let background = median.chunks_exact(3).map(luma).collect();
    (walkers.len() >= 3).then_some(Stage { name: "vtest", background, walkers })
}

fn luma(rgb: &[u8]) -> f32 {
    0.299 * f32::from(rgb[0]) + 0.587 * f32::from(rgb[1]) + 0.114 * f32::from(rgb[2])
}

/// Calls `each` with the number and the RGB bytes of every picture: the middle 16:9 of the film.
fn film_pictures(film: &Path, mut each: impl FnMut(usize, &[u8])) -> Option<()> {
    let mut child = Command::new("ffmpeg")
        .args(["-v", "error", "-threads", "1", "-i"])
        .arg(film)
        .args(["-vf", "crop=768:432:0:100,scale=640:360:flags=area", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut out = child.stdout.take()?;
    let mut picture = vec![0; W * H * 3];
    let mut i = 0;
    while out.read_exact(&mut picture).is_ok() {
        each(i, &picture);
        i += 1;
    }
    drop(out);
    child.wait().ok()?.success().then_some(())
}

/// Where a picture differs from the background in colour, with hysteresis, closed by 7 x 7.
fn differing(picture: &[u8], median: &[u8]) -> Vec<bool> {
    let mut d: Vec<f32> = picture
        .chunks_exact(3)
        .zip(median.chunks_exact(3))
        .map(|(p, m)| p.iter().zip(m).map(|(a, b)| a.abs_diff(*b)).max().map_or(0.0, f32::from))
        .collect();
    blur5(&mut d);
    let weak: Vec<bool> = d.iter().map(|&v| v > 18.0).collect();
    let mut kept = vec![false; W * H];
    for region in regions(&weak) {
        if region.pixels.iter().any(|&p| d[p] > 40.0) {
            for &p in &region.pixels {
                kept[p] = true;
            }
        }
    }
    let grown = spread(&kept, true);
    spread(&grown, false)
}

/// 1 4 6 4 1 in both directions.
fn blur5(d: &mut [f32]) {
    for (step, len) in [(1, W), (W, H)] {
        let src = d.to_vec();
        for (i, v) in d.iter_mut().enumerate() {
            let at = if step == 1 { i % W } else { i / W };
            let read = |k: isize| {
                let moved = (at as isize + k).clamp(0, len as isize - 1);
                src[(i as isize + (moved - at as isize) * step as isize) as usize]
            };
            *v = (read(-2) + 4.0 * read(-1) + 6.0 * read(0) + 4.0 * read(1) + read(2)) / 16.0;
        }
    }
}

/// Grows (or shrinks) by three pixels in every direction.
fn spread(mask: &[bool], grow: bool) -> Vec<bool> {
    let mut now = mask.to_vec();
    for horizontal in [true, false] {
        let src = now.clone();
        for y in 0..H {
            for x in 0..W {
                let mut any = false;
                let mut all = true;
                for k in -3isize..=3 {
                    let (px, py) = if horizontal { (x as isize + k, y as isize) } else { (x as isize, y as isize + k) };
                    if px >= 0 && py >= 0 && (px as usize) < W && (py as usize) < H {
                        let set = src[py as usize * W + px as usize];
                        any |= set;
                        all &= set;
                    }
                }
                now[y * W + x] = if grow { any } else { all };
            }
        }
    }
    now
}

struct Region {
    pixels: Vec<usize>,
    x: usize,
    y: usize,
    w: usize,
    h: usize,
}

/// Regions of eight-connected pixels.
fn regions(mask: &[bool]) -> Vec<Region> {
    let mut seen = vec![false; W * H];
    let mut found = Vec::new();
    for start in 0..W * H {
        if !mask[start] || seen[start] {
            continue;
        }
        seen[start] = true;
        let mut pixels = vec![start];
        let (mut x0, mut y0, mut x1, mut y1) = (W, H, 0, 0);
        let mut next = 0;
        while next < pixels.len() {
            let (x, y) = (pixels[next] % W, pixels[next] / W);
            next += 1;
            (x0, y0, x1, y1) = (x0.min(x), y0.min(y), x1.max(x), y1.max(y));
            for ny in y.saturating_sub(1)..=(y + 1).min(H - 1) {
                for nx in x.saturating_sub(1)..=(x + 1).min(W - 1) {
                    let p = ny * W + nx;
                    if mask[p] && !seen[p] {
                        seen[p] = true;
                        pixels.push(p);
                    }
                }
            }
        }
        found.push(Region { pixels, x: x0, y: y0, w: x1 - x0 + 1, h: y1 - y0 + 1 });
    }
    found
}

/// Follows each well separated person through the window and cuts the walk cycle out.
fn cut_out(window: &[Vec<u8>], median: &[u8], walkers: &mut Vec<Vec<Sprite>>) {
    let masks: Vec<Vec<Region>> = window.iter().map(|p| regions(&differing(p, median))).collect();
    for first in &masks[0] {
        let inside = first.x > 2 && first.y > 2 && first.x + first.w + 2 < W && first.y + first.h + 2 < H;
        let human = (39..75).contains(&first.h) && (13..36).contains(&first.w);
        if !inside || !human || first.pixels.len() * 100 < 42 * first.w * first.h || walkers.len() >= 10 {
            continue;
        }
        let (mut x, mut y) = (first.x, first.y);
        let mut cycle = Vec::new();
        for (picture, regions) in window.iter().zip(&masks) {
            let near = |r: &&Region| {
                r.x.abs_diff(x) + r.y.abs_diff(y) < 18 && (31..80).contains(&r.h) && (11..42).contains(&r.w)
            };
            let Some(r) = regions.iter().filter(near).min_by_key(|r| r.x.abs_diff(x) + r.y.abs_diff(y)) else { break };
            (x, y) = (r.x, r.y);
            cycle.push(cut(picture, r));
        }
        if cycle.len() == CYCLE {
            walkers.push(cycle);
        }
    }
}

/// One region as a sprite, its edge softened by 1 2 1.
fn cut(picture: &[u8], region: &Region) -> Sprite {
    let mut s = Sprite::new(region.w, region.h);
    let mut hard = vec![0.0; region.w * region.h];
    for &p in &region.pixels {
        hard[(p / W - region.y) * region.w + p % W - region.x] = 1.0;
    }
    for y in 0..s.h {
        for x in 0..s.w {
            let at = (region.y + y) * W + region.x + x;
            s.luma[y * s.w + x] = luma(&picture[at * 3..at * 3 + 3]);
            let mut a = 0.0;
            for (dy, wy) in [(-1.0, 1.0), (0.0, 2.0), (1.0, 1.0)] {
                for (dx, wx) in [(-1.0, 1.0), (0.0, 2.0), (1.0, 1.0)] {
                    a += wx * wy / 16.0 * bilinear(&hard, s.w, s.h, x as f32 + dx, y as f32 + dy);
                }
            }
            s.alpha[y * s.w + x] = a;
        }
    }
    s
}
