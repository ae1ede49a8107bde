//! HTTP/2, frame by frame.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::sleep,
};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use super::house::{House, dribble, limits, read_to_end};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const SETTINGS_ACK: &[u8] = &[0, 0, 0, 4, 1, 0, 0, 0, 0];
const PING: &[u8] = &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
/// Flags of HEADERS.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// Indexed fields of the static table.
const GET: u8 = 0x82;
const POST: u8 = 0x83;

/// A server with HTTP/2, and what trusts it.
async fn house() -> (House, TlsConnector) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(ring::default_provider());
    let mut server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    server.alpn_protocols = vec![b"h2".to_vec()];
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(server));
    (House::start(limits(), Some(acceptor)).await, TlsConnector::from(Arc::new(client)))
}

async fn connect(house: &House, tls: &TlsConnector) -> TlsStream<TcpStream> {
    let stream = house.connect().await;
    tls.connect("localhost".try_into().unwrap(), stream).await.unwrap()
}

/// A connection on which this was sent after the preface and the settings.
async fn begun(house: &House, tls: &TlsConnector, rest: &[u8]) -> TlsStream<TcpStream> {
    let mut stream = connect(house, tls).await;
    stream.write_all(&[PREFACE, SETTINGS, SETTINGS_ACK, rest].concat()).await.unwrap();
    stream
}

/// The head of the request with this number.
fn head(method: u8, path: &str, flags: u8) -> Vec<u8> {
    // :method, :scheme https, :path, :authority.
    let mut fields = vec![method, 0x87, 0x44, u8::try_from(path.len()).unwrap()];
    fields.extend_from_slice(path.as_bytes());
    fields.extend_from_slice(b"\x41\x01a");
    let mut frame = vec![0, 0, u8::try_from(fields.len()).unwrap(), 1, flags, 0, 0, 0, 1];
    frame.extend(fields);
    frame
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|it| it == part)
}

#[tokio::test]
async fn a_handshake_that_does_not_come_to_its_end_ends_the_connection() {
    let (house, tls) = house().await;
    let (after, _) = dribble(house.connect().await, b"").await;
    assert!(after >= limits().first_head);
    // A record that says it is long.
    let (after, _) = dribble(house.sent(b"\x16\x03\x01\x20\x00").await, b"\x01").await;
    assert!(after < limits().first_head * 10);
    assert!(serves(&house, &tls).await);
}

#[tokio::test]
async fn a_preface_without_a_request_ends_the_connection() {
    let (house, tls) = house().await;
    let half = PREFACE.get(..12).unwrap();
    let headers_that_go_on = head(GET, "/quick", END_STREAM);
    for sent in [b"", half, PREFACE, &[PREFACE, SETTINGS].concat()] {
        let mut stream = connect(&house, &tls).await;
        stream.write_all(sent).await.unwrap();
        read_to_end(&mut stream).await;
    }
    let mut stream = begun(&house, &tls, &headers_that_go_on).await;
    read_to_end(&mut stream).await;
    assert!(serves(&house, &tls).await);
}

#[tokio::test]
async fn pings_keep_no_connection() {
    let (house, tls) = house().await;
    let complete = head(GET, "/quick", END_STREAM | END_HEADERS);
    let without_body = head(POST, "/length", END_HEADERS);
    for sent in [b"", &complete[..], &without_body] {
        let stream = begun(&house, &tls, sent).await;
        let (after, found) = dribble(stream, PING).await;
        assert!(after < limits().first_head * 20, "{after:?}");
        assert_eq!(contains(&found, b"quick"), sent == complete);
    }
}

#[tokio::test]
async fn a_request_may_wait_for_its_answer_while_others_are_idle() {
    let (house, tls) = house().await;
    let waiting = head(GET, "/wait", END_STREAM | END_HEADERS);
    let (_, found) = dribble(begun(&house, &tls, &waiting).await, PING).await;
    assert!(contains(&found, b"waited"));
}

#[tokio::test]
async fn an_answer_for_which_no_window_is_opened_ends_the_connection() {
    let (house, tls) = house().await;
    let large = head(GET, "/large", END_STREAM | END_HEADERS);
    let (after, found) = dribble(begun(&house, &tls, &large).await, PING).await;
    assert!(after >= limits().answer);
    assert!(found.len() < 200_000, "{}", found.len());
    // Nor one of which nothing is taken at all, not even what answers the pings.
    let mut stream = begun(&house, &tls, &large).await;
    sleep(Duration::from_secs(1)).await;
    let mut byte = [0];
    while stream.read(&mut byte).await.is_ok_and(|it| it > 0) {}
    assert!(serves(&house, &tls).await);
}

/// Whether somebody new is answered.
async fn serves(house: &House, tls: &TlsConnector) -> bool {
    let quick = head(GET, "/quick", END_STREAM | END_HEADERS);
    let mut stream = begun(house, tls, &quick).await;
    contains(&read_to_end(&mut stream).await, b"quick")
}
