//! Where a load sends its requests, and how a connection to it is opened: directly or through a proxy, in clear or by TLS.

use crate::exchange::FailureKind;
use crate::load::sample::Failed;
use crate::options::{Api, Target, Timeouts};
use http_body_util::Full;
use hyper::Uri;
use hyper::body::Bytes;
use hyper::client::conn::http1::{Connection, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tower_service::Service as _;

/// Where requests of a load go; shared by all its lanes.
pub struct Route {
    /// Of the service, or of the proxy before it.
    addresses: Vec<SocketAddr>,
    /// A tunnel through the proxy, for TLS: the proxy, what it asks for, and where the tunnel ends.
    tunnel: Option<(Uri, Option<HeaderValue>, Uri)>,
    tls: Option<(tokio_rustls::TlsConnector, rustls::pki_types::ServerName<'static>)>,
    /// Path and query; the whole address where a proxy passes plain requests on.
    pub(super) path: Uri,
    pub(super) headers: HeaderMap,
    pub(super) timeouts: Timeouts,
    pub(super) max_response: u64,
    /// Stamps count from here.
    pub(super) epoch: Instant,
    /// Token events seen by all lanes, for live figures.
    pub events: AtomicU64,
}

impl Route {
    /// Resolves the address once. Errors are sentences.
    pub async fn new(target: &Target, base_url: &str, ca: Option<&[u8]>) -> Result<Route, String> {
        let route = match target.api {
            Api::Chat => "chat/completions",
            Api::Completions => "completions",
        };
        let url = reqwest::Url::parse(&format!("{base_url}/{route}")).map_err(|e| format!("`{base_url}` is not an address: {e}"))?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = url.port_or_known_default().unwrap_or(80);
        let secure = url.scheme() == "https";
        let whole: Uri = url.as_str().parse().map_err(|e| format!("`{url}` is not an address: {e}"))?;
        // The same variables as for scenarios: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY.
        let proxy = Matcher::from_system().intercept(&whole);
        if let Some(other) = proxy.as_ref().and_then(|p| p.uri().scheme_str()).filter(|s| *s != "http") {
            return Err(format!("a load cannot go through a proxy of kind {other}; set NO_PROXY={host} to go past it"));
        }
        let (near, near_port) = match &proxy {
            Some(proxy) => (proxy.uri().host().unwrap_or_default().to_owned(), proxy.uri().port_u16().unwrap_or(80)),
            None => (host.clone(), port),
        };
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((near.as_str(), near_port))
            .await
            .map_err(|e| format!("the host name {near} cannot be resolved: {e}"))?
            .collect();
        let mut headers = HeaderMap::new();
        let authority = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
            None => url.host_str().unwrap_or_default().to_owned(),
        };
        let value = |text: &str| HeaderValue::from_str(text).map_err(|_| "a header holds characters that HTTP does not allow".to_owned());
        headers.insert(HOST, value(&authority)?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("roadworthy/", env!("CARGO_PKG_VERSION"))));
        if let Some(key) = &target.api_key {
            headers.insert(AUTHORIZATION, value(&format!("Bearer {}", key.0))?);
        }
        for (name, text) in &target.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is not a header's name"))?;
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
            tls: if secure { Some(tls(&host, ca)?) } else { None },
            path,
            headers,
            timeouts: target.timeouts,
            max_response: target.max_response,
            epoch: Instant::now(),
            events: AtomicU64::new(0),
        })
    }

    /// Opens a connection. Errors name the kind of failure.
    pub(super) async fn connect(&self) -> Result<Open, Failed> {
        let limit = self.timeouts.connect;
        let stream = match tokio::time::timeout(limit, self.reach()).await {
            Ok(stream) => stream?,
            Err(_) => return Err(failed(FailureKind::ConnectTimeout, format!("no connection within {}", crate::units::show(limit)))),
        };
        let _ = stream.set_nodelay(true);
        let at = Arc::new(AtomicU64::new(0));
        let stamped = Stamped { inner: stream, epoch: self.epoch, at: at.clone() };
        let broken = |e: hyper::Error| failed(FailureKind::Send, e.to_string());
        let (sender, driver) = match &self.tls {
            None => {
                let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stamped)).await.map_err(broken)?;
                (sender, Driver::Plain(Box::pin(connection)))
            }
            Some((connector, name)) => {
                let stream = match tokio::time::timeout(limit, connector.connect(name.clone(), stamped)).await {
                    Ok(Ok(stream)) => stream,
                    Ok(Err(e)) => return Err(failed(FailureKind::Tls, e.to_string())),
                    Err(_) => return Err(failed(FailureKind::ConnectTimeout, "the TLS handshake was not done in time".into())),
                };
                let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
                (sender, Driver::Tls(Box::pin(connection)))
            }
        };
        Ok(Open { sender, driver, at })
    }

    /// A socket whose other end is the service, or a proxy that passes on what is written.
    async fn reach(&self) -> Result<TcpStream, Failed> {
        let refused = |text: String| {
            let kind = if text.contains("open files") { FailureKind::ClientSaturation } else { FailureKind::ConnectRefused };
            failed(kind, text)
        };
        if let Some((proxy, auth, to)) = &self.tunnel {
            let mut tunnel = Tunnel::new(proxy.clone(), HttpConnector::new());
            if let Some(auth) = auth {
                tunnel = tunnel.with_auth(auth.clone());
            }
            let through = tunnel.call(to.clone()).await;
            return through.map(TokioIo::into_inner).map_err(|e| refused(format!("the proxy opened no tunnel: {e}")));
        }
        let mut last = None;
        for address in &self.addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(e) => last = Some(e),
            }
        }
        Err(refused(last.map_or_else(|| "the host has no address".to_owned(), |e| e.to_string())))
    }
}

fn failed(kind: FailureKind, excerpt: String) -> Failed {
    Failed { kind, status: None, excerpt, request_id: None }
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

/// A socket that notes when bytes left it last.
pub(super) struct Stamped {
    inner: TcpStream,
    epoch: Instant,
    at: Arc<AtomicU64>,
}

impl AsyncRead for Stamped {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        if read.is_ready() && buf.filled().len() > before {
            self.at.store(self.epoch.elapsed().as_nanos() as u64, Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for Stamped {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[std::io::IoSlice<'_>]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

type Http<S> = Pin<Box<Connection<TokioIo<S>, Full<Bytes>>>>;

/// What must be polled for a connection to move.
pub(super) enum Driver {
    Plain(Http<Stamped>),
    Tls(Http<tokio_rustls::client::TlsStream<Stamped>>),
}

impl Driver {
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        match self {
            Driver::Plain(http) => http.as_mut().poll(cx),
            Driver::Tls(http) => http.as_mut().poll(cx),
        }
    }
}

/// An open connection.
pub(super) struct Open {
    pub sender: SendRequest<Full<Bytes>>,
    pub driver: Driver,
    /// When bytes left the socket last, in nanoseconds from the route's epoch.
    pub at: Arc<AtomicU64>,
}
