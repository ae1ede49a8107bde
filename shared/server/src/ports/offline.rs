//! A host without a network, and without a place for files: nobody is reached, nothing is kept.

use std::{net::IpAddr, ops::Range};

use async_trait::async_trait;

use super::{
    blobs::{BlobName, BlobStream, Blobs},
    dns::{Answer, Dns, DnsError, Service},
    http::{Fault, Http, HttpError, Request, Response},
};
use crate::{Error, Result};

/// Reaches nobody and keeps nothing, at once.
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

#[async_trait]
impl Blobs for Offline {
    async fn put(&self, _name: &BlobName, _bytes: BlobStream) -> Result<()> {
        Err(Error::internal("there is no place for files"))
    }

    async fn get(&self, _name: &BlobName, _range: Range<u64>) -> Result<Option<BlobStream>> {
        Ok(None)
    }

    async fn remove(&self, _name: &BlobName) -> Result<()> {
        Ok(())
    }
}
