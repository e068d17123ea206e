//! A file that is on its way to the disk while it is written.

use std::fs::File;
use std::io::{Result, Write};

/// The system is asked to write this much at a time: the end of a large file then has little left to wait for, and
/// other files need not wait for all of it.
const STEP_BYTES: u64 = 1024 * 1024;

pub(super) struct DiskFile {
    file: File,
    bytes: u64,
    /// The system was asked to write what comes before this.
    asked: u64,
}

impl DiskFile {
    /// Takes a file that is empty.
    pub fn new(file: File) -> Self {
        Self {
            file,
            bytes: 0,
            asked: 0,
        }
    }

    /// Returns how many bytes were written.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Waits until everything is on the disk; returns the size.
    ///
    /// # Errors
    /// The disk refused.
    pub fn finish(self) -> Result<u64> {
        self.file.sync_all()?;
        Ok(self.bytes)
    }

    /// Lets the system begin to write what it still holds; it may refuse without harm.
    fn ask(&mut self) {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{Advice, fadvise};
            let length = std::num::NonZeroU64::new(self.bytes - self.asked);
            // Linux begins to write what is said not to be needed, and keeps it until that has ended.
            fadvise(&self.file, self.asked, length, Advice::DontNeed).unwrap_or_default();
        }
        self.asked = self.bytes;
    }
}

impl Write for DiskFile {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let count = self.file.write(bytes)?;
        self.bytes += count as u64;
        if self.bytes - self.asked >= STEP_BYTES {
            self.ask();
        }
        Ok(count)
    }

    fn flush(&mut self) -> Result<()> {
        self.file.flush()
    }
}
