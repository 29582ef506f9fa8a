//! Cases and loads go through the proxies that the environment names, in clear and through a tunnel, with a company's own CA.

mod common;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// Where connections arrived, and how many.
struct Door {
    port: u16,
    passed: Arc<AtomicUsize>,
}

/// A proxy that leads every request to `behind`, whatever it asks for, when it starts with `wanted`. After a CONNECT it is a tunnel.
async fn proxy(wanted: &'static str, behind: u16) -> Door {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let passed = Arc::new(AtomicUsize::new(0));
    let count = passed.clone();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let count = count.clone();
            tokio::spawn(async move {
                let mut head = vec![0u8; 16 << 10];
                let mut n = 0;
                while !head[..n].windows(4).any(|w| w == b"\r\n\r\n") {
                    match client.read(&mut head[n..]).await {
                        Ok(read) if read > 0 => n += read,
                        _ => return,
                    }
                }
                let text = String::from_utf8_lossy(&head[..n]).into_owned();
                if !text.starts_with(wanted) || !text.to_lowercase().contains("proxy-authorization: basic dtpw") {
                    let _ = client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n").await;
                    return;
                }
                count.fetch_add(1, Ordering::Relaxed);
                let mut service = TcpStream::connect(("127.0.0.1", behind)).await.unwrap();
                match wanted.starts_with("CONNECT") {
                    true => client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap(),
                    false => service.write_all(&head[..n]).await.unwrap(),
                }
                let _ = copy_bidirectional(&mut client, &mut service).await;
            });
        }
    });
    Door { port, passed }
}

/// Ends TLS before `behind`, and writes the CA that signed its certificate to `ca`.
async fn tls(behind: u16, ca: &Path) -> u16 {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let root = params.self_signed(&ca_key).unwrap();
    std::fs::write(ca, root.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["model.example".to_owned()]).unwrap().signed_by(&key, &Issuer::new(params, ca_key)).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut client) = acceptor.accept(client).await else { return };
                let mut service = TcpStream::connect(("127.0.0.1", behind)).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut service).await;
            });
        }
    });
    port
}

async fn simulated() -> (roadworthy::sim::Running, u16) {
    let text = "simulated: x\nrules: [ { answer: one two three } ]\n".to_owned();
    let script = roadworthy::sim::parse(&Arc::new(roadworthy::diagnostic::Source { name: "x".into(), text })).unwrap();
    let service = roadworthy::sim::start(script, 0).await.unwrap();
    let port = service.base_url.split([':', '/']).find_map(|p| p.parse().ok()).unwrap();
    (service, port)
}

async fn roadworthy(dir: &Path, variable: &str, port: u16, args: &[&str]) -> Output {
    let mut command = common::roadworthy();
    command.current_dir(dir).env("CI", "1").env(variable, format!("http://u:p@127.0.0.1:{port}")).args(args);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn project(base_url: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let config = format!("targets: {{ default: {{ base_url: \"{base_url}\", model: m, ca_file: ca.pem }} }}\n");
    std::fs::write(dir.path().join("roadworthy.yaml"), config).unwrap();
    let cases = "scenario: x\ncases: [ { name: a, prompt: hi, expect: [ { contains: two } ] } ]\n";
    std::fs::create_dir(dir.path().join("scenarios")).unwrap();
    std::fs::write(dir.path().join("scenarios/x.yaml"), cases).unwrap();
    dir
}

const LOAD: &[&str] = &["load", "--users", "3", "--requests", "30", "--prompt", "x"];

async fn both_pass(dir: &Path, variable: &str, door: Door) {
    for args in [&["run"][..], LOAD] {
        let before = door.passed.load(Ordering::Relaxed);
        let out = roadworthy(dir, variable, door.port, args).await;
        let shown = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert_eq!(out.status.code(), Some(0), "{args:?}\n{shown}");
        assert!(door.passed.load(Ordering::Relaxed) > before, "{args:?} went past the proxy");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_requests_are_passed_on_by_the_proxy() {
    let (_service, port) = simulated().await;
    let door = proxy("POST http://model.example", port).await;
    let dir = project("http://model.example/v1");
    std::fs::write(dir.path().join("ca.pem"), rcgen::generate_simple_self_signed(vec!["x".into()]).unwrap().cert.pem()).unwrap();
    both_pass(dir.path(), "HTTP_PROXY", door).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_by_tls_go_through_a_tunnel() {
    let (_service, port) = simulated().await;
    let dir = project("https://model.example/v1");
    let ends = tls(port, &dir.path().join("ca.pem")).await;
    both_pass(dir.path(), "HTTPS_PROXY", proxy("CONNECT model.example:443 ", ends).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_refuses_is_named() {
    let (_service, port) = simulated().await;
    let dir = project("https://model.example/v1");
    let ends = tls(port, &dir.path().join("ca.pem")).await;
    let door = proxy("CONNECT other.example:443 ", ends).await;
    let out = roadworthy(dir.path(), "HTTPS_PROXY", door.port, LOAD).await;
    let shown = String::from_utf8_lossy(&out.stdout).into_owned();
    assert_eq!(out.status.code(), Some(3), "{shown}");
    assert!(shown.contains("proxy") || shown.contains("tunnel"), "{shown}");
}
