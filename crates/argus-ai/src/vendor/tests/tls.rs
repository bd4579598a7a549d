//! TLS is always verified.

use std::sync::Arc;

use argus_ai_sim::Dialect;
use argus_core::describe::DescribeFailure::Unreachable;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::{AMPLE, Reach, config, question, vendor};

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_ends_it_before_anything_is_sent() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let heard = tokio::spawn(async move {
        let mut heard = 0;
        for _ in Dialect::ALL {
            let (stream, _) = listener.accept().await.unwrap();
            // The handshake fails on the other side, which may show here as soon as it is through, or before.
            if let Ok(mut tls) = acceptor.accept(stream).await {
                heard += tls.read(&mut [0; 64]).await.unwrap_or(0);
            }
        }
        heard
    });
    for dialect in Dialect::ALL {
        let vendor = vendor(&config(dialect, &format!("https://127.0.0.1:{port}"))).unwrap();
        let error = vendor.ask(&question(1), Reach::Local, AMPLE).await.result.unwrap_err();
        assert_eq!(error.kind, Unreachable, "{dialect:?}: {error}");
        assert!(error.message.contains("certificate"), "{dialect:?}: {error}");
    }
    assert_eq!(heard.await.unwrap(), 0, "nothing of a question was sent");
}
