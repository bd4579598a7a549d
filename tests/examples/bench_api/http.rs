//! As little of HTTP/1.1 as a load generator needs, so that its own cost does not hide the server's.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// One connection that is kept.
pub(crate) struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
}

/// `host:port` of `http://host:port`.
pub(crate) fn authority(origin: &str) -> &str {
    origin.strip_prefix("http://").unwrap_or(origin)
}

impl Connection {
    pub(crate) async fn open(origin: &str) -> Self {
        let socket = TcpStream::connect(authority(origin)).await.expect("the server accepts");
        socket.set_nodelay(true).expect("a socket");
        Self { socket, buffer: vec![0; 1 << 20] }
    }

    /// Sends a request without a body and reads the whole answer; gives its status and the number of its bytes.
    pub(crate) async fn ask(&mut self, method: &str, path: &str, key: &str) -> (u16, usize) {
        let key = if key.is_empty() { String::new() } else { format!("X-API-Key: {key}\r\n") };
        let request = format!("{method} {path} HTTP/1.1\r\nHost: argus\r\n{key}\r\n");
        self.socket.write_all(request.as_bytes()).await.expect("the request is sent");
        let mut held = 0;
        loop {
            let free = self.buffer.get_mut(held..).filter(|free| !free.is_empty()).expect("an answer below 1 MiB");
            let n = self.socket.read(free).await.expect("an answer");
            assert!(n > 0, "the server closed in the middle of an answer to {path}");
            held += n;
            let so_far = self.buffer.get(..held).unwrap_or_default();
            let Some(head) = so_far.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let text = String::from_utf8_lossy(so_far.get(..head).unwrap_or_default()).to_ascii_lowercase();
            let status = text.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0);
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
            let whole = head + 4 + length.unwrap_or(0);
            if held >= whole {
                return (status, whole);
            }
        }
    }

    /// Sends the request and gives the socket, for an answer that is read piece by piece. HTTP/1.0, so that nothing but
    /// the answer comes.
    pub(crate) async fn begin(mut self, path: &str, key: &str) -> TcpStream {
        let request = format!("GET {path} HTTP/1.0\r\nHost: argus\r\nX-API-Key: {key}\r\n\r\n");
        self.socket.write_all(request.as_bytes()).await.expect("the request is sent");
        self.socket
    }
}
