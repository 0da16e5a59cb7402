//! Sockets that connections come from.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::fs::{Mode, chmod};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tracing::warn;

use super::places::MAX_CONNECTIONS;
use crate::config::Listen;
use crate::source::Source;

/// Connections that the kernel keeps until they are accepted, if it allows so many (net.core.somaxconn). One more has to
/// try again after a second, so there is room for a burst of as many as may be open at all.
const BACKLOG: u32 = 2 * MAX_CONNECTIONS as u32;

/// A socket that listens.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// A connection as it comes.
pub(super) enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Accepted {
    /// Who has to answer for it.
    pub(super) fn source(&self) -> Source {
        match self {
            Self::Tcp(_, address) => Some(address.ip()).into(),
            Self::Unix(_) => Source::Local,
        }
    }
}

impl Listener {
    /// Begins to listen.
    pub(crate) fn bind(address: &Listen) -> anyhow::Result<Self> {
        match address {
            Listen::Tcp(address) => {
                let listener = bind_port(*address);
                let hint = "is another PerfWatch running there? --listen takes another";
                Ok(Self::Tcp(listener.context(hint)?))
            }
            Listen::Unix(path) => {
                let (listener, file) = bind_file(path)?;
                listener.set_nonblocking(true)?;
                Ok(Self::Unix(UnixListener::from_std(listener)?, file))
            }
        }
    }

    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                listener.accept().await.map(|(stream, address)| Accepted::Tcp(stream, address))
            }
            Self::Unix(listener, _) => {
                listener.accept().await.map(|(stream, _)| Accepted::Unix(stream))
            }
        }
    }

    /// As a browser or curl wants it: with the port that was chosen, if any could be.
    pub(crate) fn url(&self, tls: bool) -> io::Result<String> {
        Ok(match self {
            Self::Tcp(listener) => {
                let scheme = if tls { "https" } else { "http" };
                format!("{scheme}://{}", listener.local_addr()?)
            }
            Self::Unix(_, file) => format!("unix:{}", file.path.display()),
        })
    }
}

/// The file of a UNIX socket, removed when dropped.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Which file it is: another may have taken its name.
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours =
            fs::symlink_metadata(&self.path).is_ok_and(|file| identity(&file) == self.identity);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            warn!(path = %self.path.display(), %error, "the socket could not be removed");
        }
    }
}

fn identity(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

fn bind_port(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Or a restart would have to wait for connections of the run before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A socket at this path that its owner and group may connect to.
fn bind_file(path: &Path) -> anyhow::Result<(StdUnixListener, SocketFile)> {
    remove_stale(path)?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Makes the file, or fails if there is anything, a symbolic link as well.
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    let file =
        SocketFile { path: path.to_owned(), identity: identity(&fs::symlink_metadata(path)?) };
    // Nobody can connect before it listens.
    chmod(path, Mode::from_raw_mode(0o660)).context("setting its mode")?;
    listen(&socket, BACKLOG as i32)?;
    Ok((socket.into(), file))
}

/// Removes a socket that nobody listens at. Anything else at this path is an error.
fn remove_stale(path: &Path) -> anyhow::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
        Ok(file) if !file.file_type().is_socket() => bail!("there is something that is no socket"),
        Ok(_) => {}
    }
    match StdUnixStream::connect(path) {
        Ok(_) => bail!("somebody listens there; is it another PerfWatch?"),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).context("removing a socket that nobody listens at")
        }
        Err(error) => Err(error).context("asking whether somebody listens there"),
    }
}
