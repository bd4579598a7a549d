use std::io::Write;

use base64::Engine as _;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn pack(kind: u8, format: u8, deflated: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![kind, format, deflated, 0];
    out.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
    out.extend(payload);
    out
}

fn zlib(data: &[u8]) -> Vec<u8> {
    let mut z = ZlibEncoder::new(Vec::new(), Compression::best());
    z.write_all(data).unwrap();
    z.finish().unwrap()
}

fn good() -> Vec<u8> {
    let action = json!({"action": "update", "newUpdateId": "u1", "modelKey": "camera", "id": "c1"});
    let mut m = pack(1, 1, 1, &zlib(action.to_string().as_bytes()));
    m.extend(pack(2, 1, 0, br#"{"name":"Yard"}"#));
    m
}

#[test]
fn recorded_messages_decode_to_what_is_written_beside_them() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/protect-sim/fixtures/private");
    for (file, count) in [("ws_frames_a.jsonl", 131), ("ws_frames_b.jsonl", 51)] {
        let lines = std::fs::read_to_string(format!("{folder}/{file}")).unwrap();
        let mut seen = 0;
        for line in lines.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let raw = base64::engine::general_purpose::STANDARD.decode(line["raw_b64"].as_str().unwrap()).unwrap();
            let packet = decode(&raw).unwrap();
            assert_eq!(packet.action, line["action"], "{file} at {}", line["t"]);
            assert_eq!(packet.data, Payload::Json(line["data"].clone()), "{file} at {}", line["t"]);
            seen += 1;
        }
        assert_eq!(seen, count, "{file}");
    }
}

#[test]
fn malformed_messages_are_errors() {
    let check = |message: &[u8], expected: FrameError| assert_eq!(decode(message), Err(expected));
    let whole = good();
    let action = pack(1, 1, 0, br#"{"action":"add"}"#);
    let with = |data: Vec<u8>| [action.clone(), data].concat();

    check(b"", FrameError::Short);
    check(&whole[..7], FrameError::Short);
    check(&whole[..whole.len() - 1], FrameError::Short);
    check(&action, FrameError::Short);
    check(&[whole.clone(), vec![0]].concat(), FrameError::LeftOver);
    check(&[pack(2, 1, 0, b"{}"), pack(1, 1, 0, b"{}")].concat(), FrameError::PacketType(2));
    check(&with(pack(1, 1, 0, b"{}")), FrameError::PacketType(1));
    check(&with(pack(2, 0, 0, b"{}")), FrameError::Format(0));
    check(&with(pack(2, 4, 0, b"{}")), FrameError::Format(4));
    check(&with(pack(2, 1, 2, b"{}")), FrameError::Compression(2));
    check(&with(pack(2, 1, 1, b"{}")), FrameError::Inflate);
    check(&with(pack(2, 1, 0, b"{")), FrameError::Json);
    check(&with(pack(2, 1, 0, b"")), FrameError::Json);
    check(&with(pack(2, 2, 0, b"\xff")), FrameError::Text);
    check(&[pack(1, 1, 0, b"[]"), pack(2, 1, 0, b"{}")].concat(), FrameError::Action);
    check(&[pack(1, 2, 0, b"{}"), pack(2, 1, 0, b"{}")].concat(), FrameError::Action);
    let mut broken = zlib(b"{\"a\":1}");
    let last = broken.len() - 1;
    broken[last] ^= 1; // the checksum
    check(&with(pack(2, 1, 1, &broken)), FrameError::Inflate);
    let mut long = zlib(b"{}");
    long.push(0);
    check(&with(pack(2, 1, 1, &long)), FrameError::LeftOver);
    let cut = zlib(&[b' '; 4000]);
    check(&with(pack(2, 1, 1, &cut[..cut.len() / 2])), FrameError::Inflate);
    // A size of 4 GiB in a message of 24 bytes.
    check(&with([&[2, 1, 0, 0, 0xff, 0xff, 0xff, 0xff][..], b"{}"].concat()), FrameError::Short);
}

#[test]
fn inflate_bounded() {
    let bomb = zlib(&vec![b' '; MAX_INFLATED + 1]);
    assert!(bomb.len() < 100_000);
    let message = [pack(1, 1, 0, br#"{"action":"add"}"#), pack(2, 1, 1, &bomb)].concat();
    assert_eq!(decode(&message), Err(FrameError::TooLarge));
}

#[test]
fn other_formats_are_read() {
    let with = |format, payload: &[u8]| {
        decode(&[pack(1, 1, 0, br#"{"action":"add"}"#), pack(2, format, 0, payload)].concat()).unwrap().data
    };
    assert_eq!(with(2, b"text"), Payload::Text("text".into()));
    assert_eq!(with(3, b"\xff\x00"), Payload::Bytes(vec![255, 0]));
}

#[test]
fn actions_are_read() {
    let update = Update::from(decode(&good()).unwrap());
    assert_eq!((update.action, update.model.as_str(), update.id.as_str()), (Action::Update, "camera", "c1"));
    assert_eq!(update.resume.as_deref(), Some("u1"));
    let null =
        Packet { action: json!({"action": "explode", "newUpdateId": null, "id": 7}), data: Payload::Bytes(vec![1]) };
    let update = Update::from(null);
    assert_eq!((update.action, update.resume, update.id.as_str()), (Action::Other("explode".into()), None, ""));
    assert_eq!(update.data, Value::Null);
}

proptest! {
    #[test]
    fn any_bytes_end_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn a_changed_byte_never_panics(at in 0usize..200, to in any::<u8>()) {
        let mut m = good();
        let at = at % m.len();
        m[at] = to;
        let _ = decode(&m);
    }

    #[test]
    fn what_is_packed_comes_back(text in "\\PC{0,80}", n in any::<i64>(), deflate in any::<bool>()) {
        let data = json!({"text": text, "n": n, "list": [1, null, {"x": true}]});
        let body = data.to_string();
        let body = if deflate { zlib(body.as_bytes()) } else { body.into_bytes() };
        let m = [pack(1, 1, 0, br#"{"action":"add","id":"x"}"#), pack(2, 1, u8::from(deflate), &body)].concat();
        prop_assert_eq!(decode(&m).unwrap().data, Payload::Json(data));
    }
}
