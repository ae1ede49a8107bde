//! Certificates of tests' own authorities.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, LazyLock},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
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

/// A certificate authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// Its certificate.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A server with a certificate for these names.
    pub(crate) fn acceptor(&self, names: &[&str]) -> TlsAcceptor {
        let names: Vec<_> = names.iter().map(|it| (*it).to_owned()).collect();
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(names).expect("names");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
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
}
