//! Thumbnails, frames and clips.

use argus_core::event::Event;
use argus_core::media::{clip_key, event_prefix, frame_key, thumbnail_key};
use argus_db::{EventChange, NewFrame};
use reqwest::Method;

use crate::support::{Answer, Server, send};

/// An event with all its media: 1000 bytes of clip, one frame, a thumbnail.
async fn with_media(server: &Server) -> (Event, Vec<u8>) {
    let camera = server.camera("Door").await;
    let event = server.event(&camera, 0, "Motion").await;
    let prefix = event_prefix(event.camera_id, event.id, event.timestamp);
    let clip: Vec<u8> = (0..1000u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
    server.store(&clip_key(&prefix), &clip).await;
    server.store(&frame_key(&prefix, 0), b"frame").await;
    server.store(&thumbnail_key(&prefix), b"thumbnail").await;
    let frame = |index, stored| NewFrame {
        index,
        offset_ms: 0,
        sha256: "0".repeat(64),
        width: 640,
        height: 360,
        bytes: 5,
        stored,
    };
    let at = event.timestamp;
    let changes = vec![
        EventChange::ThumbnailStored { bytes: 9 },
        EventChange::Frames(vec![frame(0, true), frame(1, true)]),
        EventChange::Clip { bytes: 1000, from: at, until: at },
    ];
    (server.db.event_change(event.id, changes, at).await.unwrap(), clip)
}

async fn ask(server: &Server, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = headers.iter().fold(server.request(Method::GET, path), |r, (name, value)| r.header(*name, *value));
    send(request).await
}

#[tokio::test]
async fn pictures_come_with_validators() {
    let server = Server::start().await;
    let (event, _) = with_media(&server).await;
    for (url, bytes, cache) in [
        (event.thumbnail_url.as_deref().unwrap(), &b"thumbnail"[..], "private, no-cache"),
        (event.frames[0].url.as_deref().unwrap(), b"frame", "private, max-age=86400"),
    ] {
        let answer = ask(&server, url, &[]).await;
        assert_eq!((answer.status, answer.body.as_slice()), (200, bytes), "{url}");
        assert_eq!((answer.header("content-type"), answer.header("cache-control")), ("image/jpeg", cache));
        let tag = answer.header("etag").to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
        for given in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".into()] {
            let answer = ask(&server, url, &[("if-none-match", &given)]).await;
            assert_eq!((answer.status, answer.body.len(), answer.header("etag")), (304, 0, tag.as_str()), "{given}");
            assert_eq!(answer.header("cache-control"), cache);
        }
        assert_eq!(ask(&server, url, &[("if-none-match", "\"x\"")]).await.status, 200);
        assert_eq!(ask(&server, url, &[("range", "bytes=0-0")]).await.status, 200, "pictures come whole");
    }
}

#[tokio::test]
async fn a_clip_comes_whole_or_in_parts() {
    let server = Server::start().await;
    let (event, clip) = with_media(&server).await;
    let url = event.clip_url.as_deref().unwrap();
    let whole = ask(&server, url, &[]).await;
    assert_eq!((whole.status, &whole.body), (200, &clip));
    assert_eq!((whole.header("content-type"), whole.header("accept-ranges")), ("video/mp4", "bytes"));
    assert_eq!((whole.header("content-length"), whole.header("content-disposition")), ("1000", ""));
    assert_eq!(whole.header("cache-control"), "private, max-age=86400");
    for (range, part) in [
        ("bytes=0-0", 0..1),
        ("bytes=0-", 0..1000),
        ("bytes=100-199", 100..200),
        ("bytes=999-", 999..1000),
        ("bytes=-1", 999..1000),
        ("bytes=-5000", 0..1000),
        ("bytes=990-99999999999999999999", 990..1000),
    ] {
        let answer = ask(&server, url, &[("range", range)]).await;
        assert_eq!((answer.status, answer.body.as_slice()), (206, &clip[part.clone()]), "{range}");
        assert_eq!(answer.header("content-range"), format!("bytes {}-{}/1000", part.start, part.end - 1));
        assert_eq!(answer.header("etag"), whole.header("etag"));
    }
    for outside in ["bytes=1000-", "bytes=1000-2000", "bytes=-0"] {
        let answer = ask(&server, url, &[("range", outside)]).await;
        answer.expect(416);
        assert_eq!(answer.header("content-range"), "bytes */1000");
    }
    for ignored in ["bytes=5-1", "bytes=0-1,3-4", "lines=0-1", "bytes", "bytes=x-"] {
        assert_eq!(ask(&server, url, &[("range", ignored)]).await.body, clip, "{ignored}");
    }
    let tag = whole.header("etag");
    assert_eq!(ask(&server, url, &[("range", "bytes=0-0"), ("if-range", tag)]).await.status, 206);
    assert_eq!(ask(&server, url, &[("range", "bytes=0-0"), ("if-range", "\"x\"")]).await.status, 200);
    assert_eq!(ask(&server, url, &[("range", "bytes=0-0"), ("if-none-match", tag)]).await.status, 304);
    let saved = ask(&server, &format!("{url}?download=true"), &[]).await;
    assert_eq!(saved.header("content-disposition"), format!("attachment; filename=\"argus-{}.mp4\"", event.id));
    let head = send(server.request(Method::HEAD, url).header("range", "bytes=0-0")).await;
    assert_eq!((head.status, head.body.len(), head.header("content-length")), (200, 0, "1000"));
    assert_eq!(head.header("etag"), tag);
}

#[tokio::test]
async fn what_is_not_there_is_404() {
    let server = Server::start().await;
    let (event, _) = with_media(&server).await;
    let of = |id: String, rest: &str| format!("/events/{id}/{rest}");
    let id = event.id.to_string();
    // The second frame is named by the event, but its file was lost.
    for rest in ["frames/1", "frames/2", "frames/-1", "frames/00", "frames/+0", "frames/x", "frames/99999999999"] {
        ask(&server, &of(id.clone(), rest), &[]).await.expect(404);
    }
    let camera = server.camera("Yard").await;
    let bare = server.event(&camera, 5, "Motion").await.id.to_string();
    for rest in ["thumbnail", "frames/0", "clip"] {
        for id in [bare.as_str(), "x", "0193f000-0000-7000-8000-000000000000"] {
            ask(&server, &of(id.to_owned(), rest), &[]).await.expect(404);
        }
    }
    for path in ["%2e%2e%2f%2e%2e%2fargus.db/clip", "..%2f..%2fargus.db/thumbnail", "x/frames/..%2f..%2fargus.db"] {
        let (status, answer) = server.raw_get(&format!("/api/v1/events/{path}")).await;
        assert_eq!(status, 404, "{answer}");
    }
    assert_eq!(ask(&server, &of(id, "clip?download=maybe"), &[]).await.faults(), ["download"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_picture_that_is_replaced_meanwhile_comes_whole() {
    let server = Server::start().await;
    let (event, _) = with_media(&server).await;
    let (thumbnail, clip) = (event.thumbnail_url.as_deref().unwrap(), event.clip_url.as_deref().unwrap());
    let prefix = event_prefix(event.camera_id, event.id, event.timestamp);
    server.store(&thumbnail_key(&prefix), &[0; 1000]).await;
    server.store(&clip_key(&prefix), &[0; 1000]).await;
    let done = std::sync::atomic::AtomicBool::new(false);
    let replace = async {
        let mut n = 0_u8;
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            n = n.wrapping_add(1);
            let size = 1000 + usize::from(n) * 100;
            server.store(&thumbnail_key(&prefix), &vec![n; size]).await;
            server.store(&clip_key(&prefix), &vec![n; size]).await;
            tokio::task::yield_now().await;
        }
    };
    let read = async {
        for _ in 0..150 {
            let whole = ask(&server, thumbnail, &[]).await;
            assert_eq!(whole.status, 200);
            assert!(whole.body.windows(2).all(|pair| pair[0] == pair[1]), "bytes of one file only");
            let part = ask(&server, clip, &[("range", "bytes=0-499")]).await;
            let is_whole = part.status == 200 && part.body.len() >= 1000;
            assert!(is_whole || (part.status, part.body.len()) == (206, 500), "{} {}", part.status, part.body.len());
            assert!(part.body.windows(2).all(|pair| pair[0] == pair[1]), "bytes of one file only");
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    tokio::join!(replace, read);
}
