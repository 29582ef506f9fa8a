//! Where requests go, and how a connection is opened: directly or through a proxy, in clear or by TLS.

use super::open::{Open, Stamped};
use crate::exchange::{Failure, FailureKind};
use crate::options::{Address, Target, Timeouts};
use crate::redact::Redactor;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tower_service::Service as _;

/// Silence of the other end after which the system asks whether it is still there, and how often: a model may think for minutes.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Where requests go; shared by all connections.
pub struct Route {
    /// Of the service, or of the proxy before it.
    addresses: Vec<SocketAddr>,
    /// A tunnel through the proxy, for TLS: the proxy, what it asks for, and where the tunnel ends.
    tunnel: Option<(Uri, Option<HeaderValue>, Uri)>,
    tls: Option<(tokio_rustls::TlsConnector, rustls::pki_types::ServerName<'static>)>,
    /// Path and query; the whole address where a proxy passes plain requests on.
    path: Uri,
    pub(super) headers: HeaderMap,
    pub(super) timeouts: Timeouts,
    pub(super) max_response: u64,
    pub(super) redactor: Redactor,
    pub(super) base_url: String,
    /// Stamps count from here.
    epoch: Instant,
}

impl Route {
    /// Resolves the address once. Errors name the kind of failure.
    pub async fn new(target: &Target, base_url: &str, ca: Option<&[u8]>) -> Result<Route, Failure> {
        let wrong = |message: String| failed(FailureKind::Send, message);
        let url = format!("{base_url}/{}", target.api.route());
        let url = reqwest::Url::parse(&url).map_err(|e| wrong(format!("`{base_url}` is not an address: {e}")))?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = url.port_or_known_default().unwrap_or(80);
        let secure = url.scheme() == "https";
        let whole: Uri = url.as_str().parse().map_err(|e| wrong(format!("`{url}` is not an address: {e}")))?;
        // HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, and what the system is set to; a simulated service is our own.
        let is_own = matches!(target.address, Address::Simulate(_));
        let proxy = if is_own { None } else { Matcher::from_system().intercept(&whole) };
        if let Some(other) = proxy.as_ref().and_then(|p| p.uri().scheme_str()).filter(|s| *s != "http") {
            return Err(wrong(format!("requests cannot go through a proxy of kind {other}; set NO_PROXY={host} to go past it")));
        }
        let (near, near_port) = match &proxy {
            Some(proxy) => (proxy.uri().host().unwrap_or_default().to_owned(), proxy.uri().port_u16().unwrap_or(80)),
            None => (host.clone(), port),
        };
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((near.as_str(), near_port))
            .await
            .map_err(|e| failed(FailureKind::Dns, format!("the host name {near} cannot be resolved: {e}")))?
            .collect();
        let mut headers = HeaderMap::new();
        let authority = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
            None => url.host_str().unwrap_or_default().to_owned(),
        };
        let value =
            |text: &str| HeaderValue::from_str(text).map_err(|_| wrong("a header holds characters that HTTP does not allow".into()));
        headers.insert(HOST, value(&authority)?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("roadworthy/", env!("CARGO_PKG_VERSION"))));
        // Credentials of the address are sent, as every client of HTTP does; a key of the target's own comes before them.
        if !url.username().is_empty() || url.password().is_some() {
            let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
            let pair = format!("{}:{}", decoded(url.username()), decoded(url.password().unwrap_or_default()));
            headers.insert(AUTHORIZATION, value(&format!("Basic {}", STANDARD.encode(pair)))?);
        }
        if let Some(key) = &target.api_key {
            headers.insert(AUTHORIZATION, value(&format!("Bearer {}", key.0))?);
        }
        for (name, text) in &target.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong(format!("`{name}` is not a header's name")))?;
            headers.insert(name, value(&text.0)?);
        }
        let path = match (&proxy, whole.path_and_query()) {
            (Some(proxy), _) if !secure => {
                proxy.basic_auth().into_iter().for_each(|auth| drop(headers.insert(PROXY_AUTHORIZATION, auth.clone())));
                whole.clone()
            }
            (_, Some(path)) => Uri::from(path.clone()),
            (_, None) => Uri::from_static("/"),
        };
        let tunnel = proxy.filter(|_| secure).map(|p| (p.uri().clone(), p.basic_auth().cloned(), whole));
        Ok(Route {
            addresses,
            tunnel,
            tls: if secure { Some(tls(&host, ca).map_err(|why| failed(FailureKind::Tls, why))?) } else { None },
            path,
            headers,
            timeouts: target.timeouts,
            max_response: target.max_response,
            redactor: Redactor::new(target.secrets.iter().map(|secret| secret.0.clone())),
            base_url: base_url.to_owned(),
            epoch: Instant::now(),
        })
    }

    /// A request with the target's headers.
    pub(super) fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = self.path.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// Opens a connection. Errors name the kind of failure.
    pub(super) async fn connect(&self) -> Result<Open, Failure> {
        let limit = self.timeouts.connect;
        let late = |what: &str| failed(FailureKind::ConnectTimeout, format!("{what} within {}", crate::units::show(limit)));
        let stream = tokio::time::timeout(limit, self.reach()).await.unwrap_or_else(|_| Err(late("no connection")))?;
        let _ = stream.set_nodelay(true);
        let alive = socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
        let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&alive);
        let socket = Stamped::new(stream, self.epoch);
        let open = match &self.tls {
            None => Open::plain(socket).await,
            Some((connector, name)) => {
                let handshake = tokio::time::timeout(limit, connector.connect(name.clone(), socket)).await;
                let session = handshake.map_err(|_| late("no TLS session"))?.map_err(|e| failed(FailureKind::Tls, e.to_string()))?;
                Open::tls(session).await
            }
        };
        open.map_err(|e| failed(FailureKind::Send, e.to_string()))
    }

    /// A socket whose other end is the service, or a proxy that passes on what is written.
    async fn reach(&self) -> Result<TcpStream, Failure> {
        let refused = |text: String| {
            // What this machine has run out of says nothing about the service.
            let own = ["open files", "assign requested address", "buffer space"].iter().any(|word| text.contains(word));
            failed(if own { FailureKind::ClientSaturation } else { FailureKind::ConnectRefused }, text)
        };
        if let Some((proxy, auth, to)) = &self.tunnel {
            let mut tunnel = Tunnel::new(proxy.clone(), HttpConnector::new());
            if let Some(auth) = auth {
                tunnel = tunnel.with_auth(auth.clone());
            }
            let through = tunnel.call(to.clone()).await;
            return through.map(TokioIo::into_inner).map_err(|e| refused(format!("the proxy opened no tunnel: {e}")));
        }
        let mut last = failed(FailureKind::Dns, "the host has no address".to_owned());
        // An address that nobody answers at leaves time for the others.
        let share = self.timeouts.connect / self.addresses.len().clamp(1, 8) as u32;
        for address in &self.addresses {
            last = match tokio::time::timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(e)) => refused(e.to_string()),
                Err(_) => failed(FailureKind::ConnectTimeout, format!("no connection to {address} within {}", crate::units::show(share))),
            };
        }
        Err(last)
    }
}

fn failed(kind: FailureKind, message: String) -> Failure {
    Failure { kind, message }
}

fn tls(host: &str, ca: Option<&[u8]>) -> Result<(tokio_rustls::TlsConnector, rustls::pki_types::ServerName<'static>), String> {
    use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut extra = Vec::new();
    for certificate in ca.map(CertificateDer::pem_slice_iter).into_iter().flatten() {
        extra.push(certificate.map_err(|e| format!("ca_file holds no certificate: {e}"))?);
    }
    let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(extra, provider.clone()).map_err(|e| e.to_string())?;
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("`{host}` cannot stand in a certificate"))?;
    Ok((tokio_rustls::TlsConnector::from(Arc::new(config)), name))
}
