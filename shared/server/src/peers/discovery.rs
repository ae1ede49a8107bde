//! Where another server is ([spec]): `core::discovery` with its questions asked.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#resolving-server-names

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, Method, header};
use ruma::{
    OwnedServerName, ServerName,
    api::{OutgoingRequestExt as _, federation::discovery::discover_homeserver},
};
use skerry_core::discovery::{
    self, Endpoint,
    well_known::{self, Caching, NoDelegation},
};
use url::Url;

use super::{PeerError, Peers, USER_AGENT, memory::Delegation};
use crate::ports::http::Request;

/// How long finding out whether a server delegates may take, with all redirects.
const WELL_KNOWN_TIMEOUT: Duration = Duration::from_secs(20);
/// The shortest and the longest that services of DNS are remembered, in milliseconds.
const MIN_SERVICE_MS: u64 = 60 * 1000;
const MAX_SERVICE_MS: u64 = 24 * 60 * 60 * 1000;

impl Peers<'_> {
    /// Where a server is: at least one endpoint, in the order in which they are tried.
    ///
    /// # Errors
    ///
    /// [`PeerError::Dns`] when name servers failed: an endpoint of a later step would be a wrong
    /// one. [`PeerError::Unavailable`].
    pub async fn endpoints(&self, server: &ServerName) -> Result<Arc<[Endpoint]>, PeerError> {
        if let Some(endpoint) = discovery::direct(server) {
            return Ok([endpoint].into());
        }
        let remembered =
            self.memory.endpoints().find(server, self.clock.now_ms()).map(|(_, it)| it.clone());
        if let Some(endpoints) = remembered {
            return Ok(endpoints);
        }
        let (delegate, until_ms) = self.delegation(server).await?;
        let delegate = delegate.as_deref().unwrap_or(server);
        let (endpoints, until_ms) = match discovery::direct(delegate) {
            Some(endpoint) => (vec![endpoint], until_ms),
            None => {
                let (endpoints, services_ms) = self.services(delegate).await?;
                (endpoints, until_ms.min(services_ms))
            }
        };
        let endpoints: Arc<[Endpoint]> = endpoints.into();
        self.memory.endpoints().insert(server.to_owned(), endpoints.clone(), until_ms);
        Ok(endpoints)
    }

    /// Steps 4 to 6, also 3.3 to 3.5, and until when the answer holds.
    async fn services(&self, name: &ServerName) -> Result<(Vec<Endpoint>, u64), PeerError> {
        let mut ttl_s = u32::MAX;
        for service in discovery::service_names(name) {
            let answer = self.dns.services(&service).await?;
            ttl_s = ttl_s.min(answer.ttl_s);
            if answer.records.is_empty() {
                continue;
            }
            let endpoints = discovery::by_services(name, answer.records, |bound| self.below(bound));
            if endpoints.is_empty() {
                return Err(PeerError::Unavailable(name.to_string()));
            }
            return Ok((endpoints, self.holds_until_ms(answer.ttl_s)));
        }
        Ok((vec![discovery::by_host(name)], self.holds_until_ms(ttl_s)))
    }

    fn holds_until_ms(&self, ttl_s: u32) -> u64 {
        let ttl_ms = (u64::from(ttl_s) * 1000).clamp(MIN_SERVICE_MS, MAX_SERVICE_MS);
        self.clock.now_ms().saturating_add(ttl_ms)
    }

    /// A random number below a positive bound.
    fn below(&self, bound: u64) -> u64 {
        let mut bytes = [0; 8];
        if let Err(error) = self.random.fill(&mut bytes) {
            // The first of the services is as good as another one.
            tracing::warn!(?error, "there is no randomness to choose a service");
        }
        u64::from_le_bytes(bytes).checked_rem(bound).unwrap_or(0)
    }

    /// Step 3: whether a server delegates, to whom, and until when that holds.
    async fn delegation(
        &self,
        server: &ServerName,
    ) -> Result<(Option<OwnedServerName>, u64), PeerError> {
        let host = server.host().to_ascii_lowercase();
        let (remembered, failures) = {
            let delegations = self.memory.delegations();
            let remembered = delegations.find(host.as_str(), self.clock.now_ms());
            let remembered = remembered.map(|(until_ms, it)| (it.to.clone(), until_ms));
            (remembered, delegations.find_stale(host.as_str()).map_or(0, |it| it.failures))
        };
        if let Some(remembered) = remembered {
            return Ok(remembered);
        }
        let url = well_known_url(&host).ok_or_else(|| PeerError::Name(server.to_string()))?;
        let asked = self.ask_well_known(server, url).await;
        let now_ms = self.clock.now_ms();
        let (delegation, lifetime_ms) = match asked {
            Ok((to, lifetime_ms)) => (Delegation { to: Some(to), failures: 0 }, lifetime_ms),
            Err(error) => {
                tracing::debug!(%server, %error, "the server does not delegate");
                let failures = failures.saturating_add(1);
                let lifetime_ms = well_known::failure_lifetime_ms(failures);
                (Delegation { to: None, failures }, lifetime_ms)
            }
        };
        let until_ms = now_ms.saturating_add(lifetime_ms);
        let to = delegation.to.clone();
        self.memory.delegations().insert(host, delegation, until_ms);
        Ok((to, until_ms))
    }

    /// Whom `.well-known` delegates to, and for how many milliseconds.
    pub(super) async fn ask_well_known(
        &self,
        server: &ServerName,
        mut url: Url,
    ) -> Result<(OwnedServerName, u64), NoDelegation> {
        let began_ms = self.clock.now_ms();
        let unreachable =
            |error: &dyn std::fmt::Display| NoDelegation::Unreachable(error.to_string());
        let mut redirects = 0;
        loop {
            let taken = Duration::from_millis(self.clock.now_ms().saturating_sub(began_ms));
            let timeout = WELL_KNOWN_TIMEOUT.saturating_sub(taken);
            let mut request =
                Request::new(Method::GET, url.clone(), well_known::MAX_BYTES, timeout);
            request.addresses = self.server.config.addresses_of(server);
            request.headers.insert(header::USER_AGENT, USER_AGENT);
            let response = self.http.send(request).await.map_err(|error| unreachable(&error))?;
            let status = response.status.as_u16();
            if well_known::is_redirect(status) {
                let location = text(&response.headers, &header::LOCATION).unwrap_or_default();
                url = well_known::redirect(&url, location, redirects)?;
                redirects += 1;
                continue;
            }
            let now_ms = self.clock.now_ms();
            let lifetime_ms = well_known::lifetime_ms(caching(&response.headers), now_ms);
            let body = response.bytes().await.map_err(|error| unreachable(&error))?;
            return well_known::read(status, &body).map(|to| (to, lifetime_ms));
        }
    }
}

/// Where a host says whom it delegates to. None where the host is none that a URL may have.
pub(super) fn well_known_url(host: &str) -> Option<Url> {
    let base = format!("https://{host}");
    let request = discover_homeserver::Request::new();
    let message = request.try_into_http_request::<Vec<u8>>(&base, (), ()).ok()?;
    Url::parse(&message.uri().to_string()).ok()
}

fn caching(headers: &HeaderMap) -> Caching<'_> {
    Caching {
        cache_control: text(headers, &header::CACHE_CONTROL),
        expires: text(headers, &header::EXPIRES),
        age: text(headers, &header::AGE),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|it| it.to_str().ok())
}
