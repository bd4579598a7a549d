//! Just enough of JPEG to know whether a body is a whole picture, and how large.

/// Width and height of a whole JPEG; `None` for anything else, such as a page of text or a body that was cut.
pub(crate) fn size(jpeg: &[u8]) -> Option<(u32, u32)> {
    // Cameras pad the end with zeros now and then.
    let end = jpeg.iter().rposition(|b| *b != 0)?;
    if !jpeg.starts_with(&[0xff, 0xd8]) || !jpeg.get(..=end)?.ends_with(&[0xff, 0xd9]) {
        return None;
    }
    let mut rest = jpeg.get(2..)?;
    loop {
        let [0xff, marker, after @ ..] = rest else { return None };
        match marker {
            0xff => rest = rest.get(1..)?,
            // Markers without a length.
            0x01 | 0xd0..=0xd7 => rest = after,
            // The frame headers; C4, C8 and CC are tables.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                let [_, _, _, h1, h0, w1, w0, ..] = *after else { return None };
                let (w, h) = (u32::from(u16::from_be_bytes([w1, w0])), u32::from(u16::from_be_bytes([h1, h0])));
                return (w > 0 && h > 0).then_some((w, h));
            }
            // Picture data or the end, without a frame header before.
            0xd9 | 0xda => return None,
            _ => {
                let [l1, l0, ..] = *after else { return None };
                rest = after.get(usize::from(u16::from_be_bytes([l1, l0])).max(2)..)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn jpeg() -> Vec<u8> {
        let mut j = vec![0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff, 0xff, 0xc4, 0, 3, 9];
        j.extend([0xff, 0xc2, 0, 11, 8, 0x02, 0xd0, 0x05, 0x00, 1, 0, 0, 0, 0xff, 0xda, 0, 2, 1, 2, 3, 0xff, 0xd9]);
        j
    }

    #[test]
    fn whole_pictures_have_a_size() {
        let whole = jpeg();
        assert_eq!(size(&whole), Some((1280, 720)));
        assert_eq!(size(&[whole.clone(), vec![0; 7]].concat()), Some((1280, 720)));
        assert_eq!(size(&whole[..whole.len() - 1]), None);
        assert_eq!(size(b"<html></html>"), None);
        assert_eq!(size(&[]), None);
        assert_eq!(size(&[0xff, 0xd8, 0xff, 0xd9]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = size(&bytes);
            bytes.splice(0..0, [0xff, 0xd8, 0xff]);
            bytes.extend([0xff, 0xd9]);
            let _ = size(&bytes);
        }
    }
}
