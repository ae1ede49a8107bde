//! Name servers that are asked over HTTPS: a Worker has no other way to them.

use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;
use futures_util::future::join;
use http::{HeaderValue, Method, StatusCode, header};
use skerry::ports::{
    Http as _,
    dns::{Answer, Dns, DnsError, Service},
    http::{Addresses, Request},
};
use skerry_core::dns_json::{self, A, AAAA, MAX_BYTES, SRV};
use url::Url;
use worker::Env;

use crate::{http::EdgeHttp, server::variable};

/// Who is asked unless configured otherwise.
const DEFAULT_ENDPOINT: &str = "https://cloudflare-dns.com/dns-query";
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks a resolver that answers as JSON.
pub(crate) struct EdgeDns {
    env: Env,
}

impl EdgeDns {
    /// The resolver is the one of the variable `DNS_OVER_HTTPS`.
    pub(crate) fn new(env: Env) -> Self {
        Self { env }
    }

    async fn ask<T>(
        &self,
        name: &str,
        kind: u16,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Answer<T>, DnsError> {
        let failed = |error: &dyn std::fmt::Display| DnsError(format!("{name}: {error}"));
        let endpoint = variable(&self.env, "DNS_OVER_HTTPS");
        let mut url = Url::parse(endpoint.as_deref().unwrap_or(DEFAULT_ENDPOINT))
            .map_err(|error| DnsError(format!("DNS_OVER_HTTPS: {error}")))?;
        url.query_pairs_mut().append_pair("name", name).append_pair("type", &kind.to_string());
        let mut request = Request::new(Method::GET, url, MAX_BYTES, TIMEOUT);
        let json = HeaderValue::from_static("application/dns-json");
        request.headers.insert(header::ACCEPT, json);
        // The operator chose it.
        request.addresses = Addresses::All;
        let response = EdgeHttp.send(request).await.map_err(|error| failed(&error))?;
        if response.status != StatusCode::OK {
            return Err(failed(&format_args!("the resolver answered {}", response.status)));
        }
        let body = response.bytes().await.map_err(|error| failed(&error))?;
        let (records, ttl_s) =
            dns_json::read(&body, kind, parse).map_err(|error| failed(&error))?;
        Ok(Answer { records, ttl_s })
    }
}

#[async_trait]
impl Dns for EdgeDns {
    async fn addresses(&self, name: &str) -> Result<Answer<IpAddr>, DnsError> {
        let four = self.ask(name, A, dns_json::address);
        let six = self.ask(name, AAAA, dns_json::address);
        let (four, six) = join(four, six).await;
        Answer::of_both(four, six)
    }

    async fn services(&self, name: &str) -> Result<Answer<Service>, DnsError> {
        self.ask(name, SRV, dns_json::service).await
    }
}
