//! Small grey pictures, as motion detection sees them.

use crate::{Invalid, Timestamp};

/// A grey picture: `height` rows of `width` bytes each, without padding, 0 black to 255 white.
#[derive(Clone, PartialEq, Eq)]
pub struct LumaPlane {
    width: u16,
    height: u16,
    pixels: Vec<u8>,
}

impl LumaPlane {
    /// Takes `pixels` as `height` rows of `width` bytes.
    ///
    /// # Errors
    /// `Invalid` when a side is zero or `pixels` has another length.
    pub fn new(width: u16, height: u16, pixels: Vec<u8>) -> Result<Self, Invalid> {
        if width == 0 || height == 0 || pixels.len() != usize::from(width) * usize::from(height) {
            return Err(Invalid::new("pixels", format!("needs {width} x {height} bytes, has {}", pixels.len())));
        }
        Ok(Self { width, height, pixels })
    }

    /// Width in pixels.
    #[must_use]
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Height in pixels.
    #[must_use]
    pub fn height(&self) -> u16 {
        self.height
    }

    /// The rows, one after the other.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The bytes, to be used again for another picture.
    #[must_use]
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }
}

impl std::fmt::Debug for LumaPlane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LumaPlane({}x{})", self.width, self.height)
    }
}

/// One picture of a camera, reduced for motion detection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// When the camera took it: the stream's own clock, mapped to wall time once a session.
    pub taken_at: Timestamp,
    /// The reduced picture, about 320 x 180.
    pub luma: LumaPlane,
    /// Width and height of the full picture in pixels.
    pub full_size: (u32, u32),
    /// Grows whenever time or format of the stream starts anew (reconnect, change of resolution, jump of its clock);
    /// what was learnt from earlier sessions does not apply any more.
    pub session: u64,
}
