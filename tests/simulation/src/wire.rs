//! The ports by which a simulated server meets the network.

use std::{net::IpAddr, sync::Arc};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use skerry::ports::{
    Dns, Http,
    dns::{Answer, DnsError, Service},
    http::{self as port, Body, Fault, HttpError, Request, Response},
};
use tokio::time::timeout;

use crate::{
    host::Life,
    network::{Network, Parcel},
};

/// The way of one life of a server.
#[derive(Clone, Debug)]
pub struct Wire {
    /// All others.
    pub network: Arc<Network>,
    /// The server.
    pub host: String,
    /// Its life.
    pub life: Life,
}

#[async_trait]
impl Http for Wire {
    async fn send(&self, request: Request) -> Result<Response, HttpError> {
        self.life.goes_on().await;
        port::check(&request)?;
        let (most, time) = (request.max_answer_bytes, request.timeout);
        let parcel = self.parcel(request).await?;
        let answer = timeout(time, self.network.carry(parcel)).await;
        self.life.goes_on().await;
        let answer = match answer {
            Ok(answer) => answer?,
            Err(_) => return Err(HttpError::new(Fault::Timeout, "the network: too late")),
        };
        let parts = stream::iter([Ok(answer.body)]);
        let body = port::bounded(parts, most, std::future::pending());
        Ok(Response { status: answer.status, headers: answer.headers, body })
    }
}

impl Wire {
    async fn parcel(&self, request: Request) -> Result<Parcel, HttpError> {
        let to = request.certificate_host();
        let message = port::into_message(request)?;
        let (head, body) = message.into_parts();
        let body = match body {
            Body::Whole(bytes) => bytes,
            Body::Parts(_, mut parts) => {
                let mut whole = Vec::new();
                while let Some(part) = parts.next().await {
                    whole.extend_from_slice(&part?);
                }
                whole.into()
            }
        };
        Ok(Parcel {
            from: self.host.clone(),
            to,
            method: head.method,
            target: head.uri.to_string(),
            headers: head.headers,
            body,
        })
    }
}

/// Names have no records: servers are where their names say.
#[async_trait]
impl Dns for Wire {
    async fn addresses(&self, _: &str) -> Result<Answer<IpAddr>, DnsError> {
        self.life.goes_on().await;
        Ok(Answer::empty(3_600))
    }

    async fn services(&self, _: &str) -> Result<Answer<Service>, DnsError> {
        self.life.goes_on().await;
        Ok(Answer::empty(3_600))
    }
}
