//! The HTTP client: proxies, certificates, time limits, retries.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig};

/// Downloads files; see [`Fetcher::fetch`](crate::fetch::Fetcher::fetch).
#[derive(Debug, Clone)]
pub struct Fetcher {
    pub(super) agent: Agent,
    /// Attempts that may fail in a row without a single new byte.
    pub(super) attempts: u32,
    /// Pause after the first failed attempt; it doubles with each further one.
    pub(super) pause: Duration,
}

impl Fetcher {
    /// A client with the user's proxy (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`) and, if
    /// `SSL_CERT_FILE` names one, the user's own certificate bundle.
    ///
    /// # Errors
    /// If `SSL_CERT_FILE` cannot be read.
    pub fn from_environment() -> anyhow::Result<Self> {
        let mut tls = TlsConfig::builder();
        if let Some(path) = std::env::var_os("SSL_CERT_FILE").filter(|p| !p.is_empty()) {
            tls = tls.root_certs(read_certificates(&PathBuf::from(path))?);
        }
        let config = Agent::config_builder()
            .tls_config(tls.build())
            // Sizes and ranges must be those of the file itself.
            .accept_encoding("identity")
            .user_agent(concat!("camtl-xtask/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(20)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .timeout_per_read(Some(Duration::from_secs(60)))
            .build();
        Ok(Self {
            agent: config.into(),
            attempts: 5,
            pause: Duration::from_secs(1),
        })
    }

    /// The same client with other patience: `attempts` in a row, `pause` after the first.
    #[must_use]
    pub fn with_patience(mut self, attempts: u32, pause: Duration) -> Self {
        self.attempts = attempts.max(1);
        self.pause = pause;
        self
    }

    /// How long to wait after attempt number `failed` (from 1).
    pub(super) fn backoff(&self, failed: u32) -> Duration {
        self.pause
            .saturating_mul(1 << failed.saturating_sub(1).min(6))
    }
}

fn read_certificates(path: &std::path::Path) -> anyhow::Result<RootCerts> {
    let pem = std::fs::read(path).with_context(|| {
        format!(
            "cannot read the certificates SSL_CERT_FILE={}",
            path.display()
        )
    })?;
    let certificates: Vec<_> = ureq::tls::parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    anyhow::ensure!(
        !certificates.is_empty(),
        "SSL_CERT_FILE={} holds no certificate in PEM form",
        path.display()
    );
    Ok(RootCerts::new_with_certs(&certificates))
}
