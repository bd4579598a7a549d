use std::time::{Duration, Instant};

use argus_tests::net::{SilentHost, closed_port};
use argus_tests::wait::{wait_for, wait_until};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

#[tokio::test]
async fn a_condition_that_comes_true_gives_its_value() {
    let mut left = 3;
    let value = wait_for("three looks", Duration::from_secs(5), || {
        left -= 1;
        std::future::ready((left == 0).then_some("there"))
    })
    .await;
    assert_eq!(value, "there");
}

#[tokio::test]
#[should_panic(expected = "in vain for rain")]
async fn a_condition_that_never_comes_true_fails_by_its_deadline() {
    let begun = Instant::now();
    wait_until("rain", Duration::from_millis(50), || {
        assert!(begun.elapsed() < Duration::from_secs(5));
        false
    })
    .await;
}

#[tokio::test]
async fn a_closed_port_refuses_and_a_silent_host_says_nothing() {
    assert!(TcpStream::connect(("127.0.0.1", closed_port())).await.is_err());
    let host = SilentHost::start();
    let mut stream = TcpStream::connect(("127.0.0.1", host.port())).await.unwrap();
    let read = tokio::time::timeout(Duration::from_millis(100), stream.read_u8()).await;
    assert!(read.is_err(), "{read:?}");
}
