//! Where the control socket is, also in directories whose path is longer than a socket's address may be.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

const FILE: &str = "control.sock";

/// The bytes of a socket's address (`sun_path` in unix(7)), its ending NUL left out.
const ADDRESS_BYTES_MAX: usize = 107;

/// Returns the path of the control socket in a state directory.
pub fn socket_path(state_dir: &Path) -> PathBuf {
    state_dir.join(FILE)
}

/// A path that is short enough, while the value lives.
pub(super) struct Address {
    pub path: PathBuf,
    _folder: Option<File>,
}

impl Address {
    /// Returns an address of a file in a folder; through the folder's descriptor if its path is too long.
    pub fn new(folder: &Path, file: &str) -> std::io::Result<Self> {
        let path = folder.join(file);
        if path.as_os_str().len() <= ADDRESS_BYTES_MAX {
            return Ok(Self {
                path,
                _folder: None,
            });
        }
        let folder = File::open(folder)?;
        let path = Path::new("/proc/self/fd")
            .join(folder.as_raw_fd().to_string())
            .join(file);
        Ok(Self {
            path,
            _folder: Some(folder),
        })
    }
}

/// Connects to the pipeline that owns a state directory.
///
/// # Errors
/// There is no socket, or nobody serves it any more.
pub fn connect(state_dir: &Path) -> std::io::Result<UnixStream> {
    let address = Address::new(state_dir, FILE)?;
    UnixStream::connect(&address.path)
}
