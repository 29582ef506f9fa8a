//! An open connection, driven by the very task that waits for the answer, so that no other task stands between the socket and the clock.

use futures_util::FutureExt;
use http_body_util::Full;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// A connection that its server had closed breaks at once; one that breaks later took the request.
pub(super) const STALE_WITHIN: Duration = Duration::from_secs(1);

/// How a wait for the service ended.
pub(super) enum Waited<T> {
    Came(T),
    /// The connection broke.
    Broke(String),
    Late,
}

/// A connection that takes one request after the other. Nothing moves on it but inside its methods.
pub(super) struct Open {
    sender: SendRequest<Full<Bytes>>,
    driver: Driver,
    /// When bytes left the socket last, in nanoseconds from `epoch`.
    at: Arc<AtomicU64>,
    epoch: Instant,
    look: Arc<AtomicBool>,
}

impl Open {
    /// Speaks HTTP/1.1 over a socket in clear.
    pub async fn plain(socket: Stamped) -> hyper::Result<Open> {
        let (at, epoch, look) = (socket.at.clone(), socket.epoch, socket.look.clone());
        let (sender, connection) = handshake(TokioIo::new(socket)).await?;
        Ok(Open { sender, driver: Driver::Plain(Box::pin(connection)), at, epoch, look })
    }

    /// Speaks HTTP/1.1 over a TLS session on such a socket.
    pub async fn tls(stream: tokio_rustls::client::TlsStream<Stamped>) -> hyper::Result<Open> {
        let socket = stream.get_ref().0;
        let (at, epoch, look) = (socket.at.clone(), socket.epoch, socket.look.clone());
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        Ok(Open { sender, driver: Driver::Tls(Box::pin(connection)), at, epoch, look })
    }

    /// False when the connection is known to have ended.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// True once the connection takes a request, which is at once when its last answer has been read; false when it has ended, or
    /// does not within `limit`.
    pub async fn ready(&mut self, limit: Duration) -> bool {
        self.look.store(true, Ordering::Relaxed);
        let ready = poll_fn(|cx| {
            // A connection that has ended may still look ready to take a request that nobody would send.
            if self.driver.poll(cx).is_ready() {
                return Poll::Ready(false);
            }
            self.sender.poll_ready(cx).map(|r| r.is_ok())
        });
        tokio::time::timeout(limit, ready).await.unwrap_or(false)
    }

    /// Sends a request and waits for the head of its response.
    pub async fn head(&mut self, request: Request<Full<Bytes>>, mut deadline: Pin<&mut Sleep>) -> Waited<Response<Incoming>> {
        let Open { sender, driver, .. } = self;
        let mut response = std::pin::pin!(sender.send_request(request));
        poll_fn(|cx| {
            let mut over = false;
            for _ in 0..2 {
                if let Poll::Ready(response) = response.as_mut().poll(cx) {
                    return Poll::Ready(match response {
                        Ok(response) => Waited::Came(response),
                        Err(e) => Waited::Broke(super::failing::chain(&e)),
                    });
                }
                if over {
                    return Poll::Ready(Waited::Broke("the connection ended".into()));
                }
                // The response may come with the end of the connection.
                over = driver.poll(cx).is_ready();
            }
            if deadline.as_mut().poll(cx).is_ready() { Poll::Ready(Waited::Late) } else { Poll::Pending }
        })
        .await
    }

    /// Waits for the next piece of the body; `None` at its end.
    pub async fn piece(&mut self, body: &mut Incoming, mut deadline: Pin<&mut Sleep>) -> Waited<Option<Bytes>> {
        poll_fn(|cx| {
            if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) {
                return Poll::Ready(came(frame));
            }
            let over = self.driver.poll(cx).is_ready();
            if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) {
                return Poll::Ready(came(frame));
            }
            if over {
                return Poll::Ready(Waited::Broke("the connection ended".into()));
            }
            if deadline.as_mut().poll(cx).is_ready() { Poll::Ready(Waited::Late) } else { Poll::Pending }
        })
        .await
    }

    /// Reads what follows the last event. The end of the body frees the connection for the next request; true when it came, which is
    /// not worth waiting long for.
    pub async fn rest(&mut self, body: &mut Incoming, mut deadline: Pin<&mut Sleep>) -> bool {
        let soon = Instant::now() + Duration::from_millis(50);
        // The end of a chunk, the end of a packing; whoever sends more than that does not come to an end.
        for _ in 0..8 {
            // Mostly it came with the last event, and no timer is needed.
            let piece = match self.piece(body, deadline.as_mut()).now_or_never() {
                Some(piece) => piece,
                None => {
                    deadline.as_mut().reset(soon.into());
                    self.piece(body, deadline.as_mut()).await
                }
            };
            match piece {
                Waited::Came(Some(_)) => {}
                last => return matches!(last, Waited::Came(None)),
            }
        }
        false
    }

    /// When bytes left the socket last.
    pub fn last_read(&self) -> Instant {
        self.epoch + Duration::from_nanos(self.at.load(Ordering::Relaxed))
    }
}

fn came(frame: Option<hyper::Result<hyper::body::Frame<Bytes>>>) -> Waited<Option<Bytes>> {
    match frame {
        None => Waited::Came(None),
        Some(Ok(frame)) => Waited::Came(Some(frame.into_data().unwrap_or_default())),
        Some(Err(e)) => Waited::Broke(super::failing::chain(&e)),
    }
}

type Http<S> = Pin<Box<Connection<TokioIo<S>, Full<Bytes>>>>;

/// What must be polled for a connection to move.
enum Driver {
    Plain(Http<Stamped>),
    Tls(Http<tokio_rustls::client::TlsStream<Stamped>>),
}

impl Driver {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        match self {
            Driver::Plain(http) => http.as_mut().poll(cx),
            Driver::Tls(http) => http.as_mut().poll(cx),
        }
    }
}

/// A socket that notes when bytes left it last.
pub(super) struct Stamped {
    inner: TcpStream,
    epoch: Instant,
    at: Arc<AtomicU64>,
    /// Set when the next read is to ask the system itself for the end of the connection: the runtime hears of it later, and a server
    /// that closes after its answer would get one more request.
    look: Arc<AtomicBool>,
}

impl Stamped {
    pub fn new(inner: TcpStream, epoch: Instant) -> Stamped {
        Stamped { inner, epoch, at: Arc::default(), look: Arc::default() }
    }
}

impl AsyncRead for Stamped {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        if self.look.swap(false, Ordering::Relaxed)
            && matches!(socket2::SockRef::from(&self.inner).peek(&mut [std::mem::MaybeUninit::uninit()]), Ok(0))
        {
            return Poll::Ready(Ok(()));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_an_idle_connection_is_seen_before_the_runtime_hears_of_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().unwrap();
        let mut open = Open::plain(Stamped::new(socket, Instant::now())).await.unwrap();
        assert!(open.ready(Duration::from_secs(5)).await);
        drop(server);
        // Without an await in between: the runtime has had no chance to learn of it.
        std::thread::sleep(Duration::from_millis(20));
        assert!(!open.ready(Duration::from_secs(5)).await);
    }
}
