//! The saved state of the local cloud, apart from the tables: the agenda, the queues and the
//! positions in the streams. They are in one file, so that no message is lost between two of them.
//!
//! The file is replaced as a whole shortly after a change. A crash in between loses the changes of
//! that moment *together*. A stream is then read again from its saved position.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::runtime::sync::lock;

/// The directory of the state. While this exists, no other local cloud can use it.
#[derive(Debug)]
pub(crate) struct Store {
    directory: Option<PathBuf>,
    /// The current content of the file.
    written: Mutex<Vec<u8>>,
    /// Unlocked when it is closed.
    _lock: Option<File>,
}

impl Store {
    /// Opens a directory, which is made if it is missing; None is a cloud that keeps nothing.
    ///
    /// # Errors
    ///
    /// If the directory cannot be used, or another local cloud is using it
    /// ([`io::ErrorKind::WouldBlock`]).
    pub(crate) fn open(directory: Option<&Path>) -> io::Result<Self> {
        let Some(directory) = directory else {
            return Ok(Self { directory: None, written: Mutex::default(), _lock: None });
        };
        std::fs::create_dir_all(directory)?;
        let lock = File::create(directory.join("lock"))?;
        lock.try_lock().map_err(io::Error::from)?;
        Ok(Self {
            directory: Some(directory.to_owned()),
            written: Mutex::default(),
            _lock: Some(lock),
        })
    }

    /// The content of the file, or the default if there is none.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or this version did not write it.
    pub(crate) fn read<T: Default + DeserializeOwned>(&self) -> io::Result<T> {
        let Some(file) = self.file().filter(|file| file.exists()) else {
            return Ok(T::default());
        };
        serde_json::from_slice(&std::fs::read(file)?).map_err(io::Error::other)
    }

    /// Replaces the file, if it would change.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub(crate) fn write(&self, kept: &impl Serialize) -> io::Result<()> {
        let Some(file) = self.file() else { return Ok(()) };
        let text = serde_json::to_vec(kept)?;
        let mut written = lock(&self.written);
        if *written == text {
            return Ok(());
        }
        replace(&file, &text)?;
        *written = text;
        Ok(())
    }

    pub(crate) fn keeps(&self) -> bool {
        self.directory.is_some()
    }

    fn file(&self) -> Option<PathBuf> {
        Some(self.directory.as_ref()?.join("cloud.json"))
    }
}

/// Replaces a file in one step: a reader, or the next run, sees the old one or the new one.
pub(crate) fn replace(file: &Path, content: &[u8]) -> io::Result<()> {
    let new = file.with_extension("new");
    let mut writer = File::create(&new)?;
    writer.write_all(content)?;
    writer.flush()?;
    std::fs::rename(new, file)
}
