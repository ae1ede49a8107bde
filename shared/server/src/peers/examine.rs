//! What a server of the federation looks like from outside: each step on the way to it, and how to
//! mend what is wrong there.

#[cfg(test)]
mod tests;

use std::time::Duration;

use http::StatusCode;
use ruma::{ServerName, api::federation::discovery::get_server_version::v1::Request as GetVersion};
use skerry_core::discovery::{self, Endpoint, well_known::NoDelegation};

use super::{Limits, PeerError, Peers, discovery::well_known_url, request::message};
use crate::ports::http::{Fault, HttpError};

/// What an answer may take.
const LIMITS: Limits = Limits { max_answer_bytes: 64 * 1024, timeout: Duration::from_secs(20) };

/// Keys that will not be valid for so long are about to run out: others ask for them again too
/// late. In milliseconds.
const SHORT_MS: u64 = 60 * 60 * 1000;

/// What was found at one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was found.
    pub says: String,
    /// How to mend it. None: it is fine.
    pub advice: Option<String>,
}

impl Finding {
    fn fine(says: impl Into<String>) -> Self {
        Self { says: says.into(), advice: None }
    }

    fn wrong(says: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { says: says.into(), advice: Some(advice.into()) }
    }
}

impl Peers<'_> {
    /// Goes to a server as any other server does, and tells of each step.
    pub async fn examine(&self, server: &ServerName) -> Vec<Finding> {
        let mut findings = Vec::new();
        if discovery::direct(server).is_none() {
            findings.push(self.examine_delegation(server).await);
        }
        let endpoints = match self.endpoints(server).await {
            Ok(endpoints) => endpoints,
            Err(error) => {
                findings.push(Finding::wrong(error.to_string(), advice(&error)));
                return findings;
            }
        };
        for endpoint in &*endpoints {
            findings.push(self.examine_endpoint(server, endpoint).await);
        }
        if findings.iter().all(|it| it.advice.is_none()) {
            findings.push(self.examine_keys(server).await);
        }
        findings
    }

    async fn examine_delegation(&self, server: &ServerName) -> Finding {
        let host = server.host();
        let Some(url) = well_known_url(host) else {
            return Finding::wrong(
                format!("{host} is no host that a URL may have"),
                "choose a server name that is a host name",
            );
        };
        let answer = self.ask_well_known(server, url.clone()).await;
        match answer {
            Ok((to, _)) => Finding::fine(format!("{url} leads to {to}")),
            Err(NoDelegation::Status(404) | NoDelegation::Unreachable(_)) => {
                Finding::fine(format!("{url} does not lead elsewhere"))
            }
            Err(error) => Finding::wrong(
                format!("{url} has no valid answer: {error}"),
                "let it answer 200 with {\"m.server\": \"HOST:PORT\"}, or 404 if the server is \
                 not to be found elsewhere",
            ),
        }
    }

    async fn examine_endpoint(&self, server: &ServerName, endpoint: &Endpoint) -> Finding {
        let (host, port) = (&endpoint.host, endpoint.port);
        let place = format!("https://{host}:{port} as {}", endpoint.server_name);
        let request = message(GetVersion::new(), ())
            .and_then(|message| self.to(server, endpoint, &message, LIMITS));
        let request = match request {
            Ok(request) => request,
            Err(error) => return Finding::wrong(format!("{place}: {error}"), advice(&error)),
        };
        match self.http.send(request).await {
            Ok(response) if response.status.is_success() => {
                Finding::fine(format!("{place} answers"))
            }
            Ok(response) => {
                let says = format!("{place} answers with status {}", response.status.as_u16());
                Finding::wrong(says, status_advice(response.status))
            }
            Err(error) => {
                Finding::wrong(format!("{place}: {error}"), fault_advice(&error, endpoint))
            }
        }
    }

    async fn examine_keys(&self, server: &ServerName) -> Finding {
        match self.keys(server).await {
            Ok(published) => {
                let keys = published.keys;
                let names = keys.keys.iter().filter(|(_, key)| key.expired_ms.is_none());
                let names: Vec<_> = names.map(|(key_id, _)| key_id.as_str()).collect();
                let left_ms = keys.valid_until_ms.saturating_sub(self.clock.now_ms());
                let says = format!(
                    "it publishes {} for another {} minutes",
                    names.join(", "),
                    left_ms / 60_000
                );
                match left_ms < SHORT_MS {
                    true => Finding::wrong(says, "set the clock of the server, and of this one"),
                    false => Finding::fine(says),
                }
            }
            Err(error) => {
                Finding::wrong(format!("its keys are not to be had: {error}"), advice(&error))
            }
        }
    }
}

fn status_advice(status: StatusCode) -> String {
    let advice = match status {
        StatusCode::NOT_FOUND => {
            "whatever answers there is not the homeserver: have the proxy pass on every path below \
             /_matrix as it comes, without decoding it"
        }
        status if status.is_server_error() => {
            "the proxy does not reach the homeserver: start it, or correct where the proxy looks \
             for it"
        }
        status if status.is_redirection() => {
            "servers do not follow redirects of the federation API: answer at this place"
        }
        _ => "something in front of the homeserver refuses servers: let requests of any server in",
    };
    advice.to_owned()
}

fn fault_advice(error: &HttpError, endpoint: &Endpoint) -> String {
    let Endpoint { host, port, server_name } = endpoint;
    match error.fault {
        Fault::Name => format!("make a DNS record (A or AAAA) for {host}"),
        Fault::Address => format!("{host} has a private address: give it a public one"),
        Fault::Connect | Fault::Timeout => format!(
            "let the firewall pass port {port}, and something listen there; or name another place \
             in .well-known/matrix/server"
        ),
        Fault::Tls => format!(
            "serve a certificate for {}, with its whole chain, that browsers trust",
            server_name.host()
        ),
        Fault::Request | Fault::TooLarge | Fault::Protocol => {
            format!("something that is no web server listens on port {port}")
        }
    }
}

fn advice(error: &PeerError) -> String {
    let advice = match error {
        PeerError::Name(_) => "choose a server name that is a host name or an address",
        PeerError::Unavailable(_) => "remove the SRV record with the target \".\"",
        PeerError::Dns(_) => "mend the name servers of the domain",
        PeerError::Refused(refusal) => return status_advice(refusal.status_code),
        PeerError::Keys(_) => {
            "another server answers there, or its clock is wrong: its name must be the one that \
             was asked for"
        }
        PeerError::Answer(_) => {
            "something between changes the answers: have the proxy pass them on as they are"
        }
        PeerError::Http(_) | PeerError::Silent(_) | PeerError::Request(_) => {
            "see what the steps before this one say"
        }
    };
    advice.to_owned()
}
