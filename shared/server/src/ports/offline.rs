//! A host without a network: nobody is reached.

use std::net::IpAddr;

use async_trait::async_trait;

use super::{
    dns::{Answer, Dns, DnsError, Service},
    http::{Fault, Http, HttpError, Request, Response},
};

/// Reaches nobody, at once.
#[derive(Clone, Copy, Debug)]
pub struct Offline;

#[async_trait]
impl Http for Offline {
    async fn send(&self, _request: Request) -> Result<Response, HttpError> {
        Err(HttpError::new(Fault::Connect, "there is no network"))
    }
}

#[async_trait]
impl Dns for Offline {
    async fn addresses(&self, _name: &str) -> Result<Answer<IpAddr>, DnsError> {
        Err(DnsError("there is no network".to_owned()))
    }

    async fn services(&self, _name: &str) -> Result<Answer<Service>, DnsError> {
        Err(DnsError("there is no network".to_owned()))
    }
}
