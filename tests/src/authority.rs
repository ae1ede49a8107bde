//! Certificates of tests' own authorities.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{ClientConfig, RootCertStore, ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

use crate::data_dir::DataDir;

/// The authority whose certificates all servers of the suite trust, and where its own one is.
static OF_SUITE: LazyLock<(Authority, DataDir)> = LazyLock::new(|| {
    let (authority, data) = (Authority::new(), DataDir::new());
    fs::write(data.path().join("ca.pem"), authority.pem()).expect("it can be written");
    (authority, data)
});

/// The authority whose certificates all servers of the suite trust.
pub(crate) fn of_suite() -> &'static Authority {
    &OF_SUITE.0
}

/// The file with its certificate.
pub(crate) fn trusted_ca() -> PathBuf {
    OF_SUITE.1.path().join("ca.pem")
}

/// What may be wrong with a server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is by an authority that nobody trusts.
    UnknownAuthority,
    /// It is for another name.
    OtherName,
    /// Its time is over.
    Expired,
}

/// A server whose certificate has a flaw, and is for `localhost` else.
pub(crate) fn flawed(flaw: Flaw) -> TlsAcceptor {
    let authority = of_suite();
    match flaw {
        Flaw::UnknownAuthority => Authority::new().acceptor(&["localhost"]),
        Flaw::OtherName => authority.acceptor(&["elsewhere.test"]),
        Flaw::Expired => {
            let expired = |params: &mut CertificateParams| {
                params.not_before = date_time_ymd(2020, 1, 1);
                params.not_after = date_time_ymd(2021, 1, 1);
            };
            accepting(authority.certify(&["localhost"], expired))
        }
    }
}

/// A certificate authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        // A name of its own: what has its issuer's name signs itself, as OpenSSL sees it.
        params.distinguished_name.push(DnType::CommonName, "an authority of the tests");
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// Its certificate.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these names, and its key.
    fn certify(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> (Certificate, KeyPair) {
        let names: Vec<_> = names.iter().map(|it| (*it).to_owned()).collect();
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(names).expect("names");
        change(&mut params);
        (params.signed_by(&key, &self.0).expect("a certificate"), key)
    }

    /// Writes a certificate for these names and its key to files in that directory: `cert.pem`
    /// and `key.pem`.
    pub(crate) fn write_certificate(&self, names: &[&str], directory: &Path) -> (PathBuf, PathBuf) {
        let (certificate, key) = self.certify(names, |_| {});
        let files = (directory.join("cert.pem"), directory.join("key.pem"));
        fs::write(&files.0, certificate.pem()).expect("it can be written");
        // A key is for its owner alone.
        let mut key_file = fs::OpenOptions::new();
        key_file.write(true).create_new(true).mode(0o600);
        let mut key_file = key_file.open(&files.1).expect("a new file");
        key_file.write_all(key.serialize_pem().as_bytes()).expect("it can be written");
        files
    }

    /// A client that trusts its certificates.
    pub(crate) fn connector(&self) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("a certificate");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    }

    /// A server with a certificate for these names.
    pub(crate) fn acceptor(&self, names: &[&str]) -> TlsAcceptor {
        accepting(self.certify(names, |_| {}))
    }
}

/// A server with this certificate.
fn accepting((certificate, key): (Certificate, KeyPair)) -> TlsAcceptor {
    let chain = vec![certificate.der().clone()];
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a key that fits the certificate");
    TlsAcceptor::from(Arc::new(config))
}
