//! The blobs port over files: each blob is one, named after it, in the data directory.
//!
//! A file is written under another name, made durable, and then given its own: there is never a
//! part of one under a blob's name. The directories are for the server's user alone, and so are the
//! files. What a crash leaves of a file that was being written goes with [`Blobs::remove`].

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    ops::Range,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use skerry::{
    Error, Result,
    ports::{BlobName, BlobStream, Blobs},
};
use tokio::task::spawn_blocking;

/// The directory of the blobs, in the data directory.
const DIRECTORY: &str = "media";
/// Bytes that are written or read at once, by a thread that may wait for the disk.
const PART_BYTES: usize = 256 * 1024;

/// Keeps blobs in files.
#[derive(Clone, Debug)]
pub struct Files {
    directory: PathBuf,
}

impl Files {
    /// Blobs in this data directory.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] when their directory cannot be made.
    pub fn open(data_directory: &Path) -> Result<Self> {
        let directory = data_directory.join(DIRECTORY);
        let made = make_directory(&directory).and_then(|()| sync(data_directory));
        made.map_err(|it| failed("made", &directory, &it))?;
        Ok(Self { directory })
    }

    /// Where a blob is: in one of some hundred directories, by the beginning of its name.
    fn place(&self, name: &BlobName) -> Place {
        let (beginning, _) = name.as_str().split_at_checked(2).unwrap_or((name.as_str(), ""));
        let directory = self.directory.join(beginning);
        let file = directory.join(name.as_str());
        // No blob has a dot in its name.
        let part = directory.join(format!("{}.part", name.as_str()));
        Place { parent: self.directory.clone(), directory, file, part }
    }
}

#[async_trait]
impl Blobs for Files {
    async fn put(&self, name: &BlobName, mut bytes: BlobStream) -> Result<()> {
        let place = self.place(name);
        let mut part = blocking(move || Part::create(place)).await?;
        let (mut waiting, mut waiting_bytes) = (Vec::new(), 0);
        while let Some(chunk) = bytes.next().await {
            let chunk = chunk?;
            waiting_bytes += chunk.len();
            waiting.push(chunk);
            if waiting_bytes >= PART_BYTES {
                let chunks = std::mem::take(&mut waiting);
                waiting_bytes = 0;
                part = blocking(move || part.write(&chunks)).await?;
            }
        }
        blocking(move || part.write(&waiting)?.finish()).await
    }

    async fn get(&self, name: &BlobName, range: Range<u64>) -> Result<Option<BlobStream>> {
        let path = self.place(name).file;
        let start = range.start;
        let opened = blocking(move || match File::open(&path) {
            Ok(mut file) => {
                file.seek(SeekFrom::Start(start)).map_err(|it| failed("read", &path, &it))?;
                Ok(Some((file, path)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("opened", &path, &error)),
        });
        let Some((file, path)) = opened.await? else { return Ok(None) };
        let reading = Reading { file, path, left: range.end.saturating_sub(range.start) };
        let pieces = stream::try_unfold(reading, |reading| async move {
            match reading.left {
                0 => Ok(None),
                _ => blocking(move || reading.next().map(Some)).await,
            }
        });
        Ok(Some(Box::pin(pieces)))
    }

    async fn remove(&self, name: &BlobName) -> Result<()> {
        let place = self.place(name);
        blocking(move || {
            for path in [&place.part, &place.file] {
                match fs::remove_file(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(failed("removed", path, &error));
                    }
                    Ok(()) | Err(_) => {}
                }
            }
            Ok(())
        })
        .await
    }
}

/// Where a blob is.
struct Place {
    parent: PathBuf,
    directory: PathBuf,
    file: PathBuf,
    /// Where it is as long as it is not all there.
    part: PathBuf,
}

/// A blob that is being written. It is removed when it is dropped before it is finished.
struct Part {
    file: File,
    place: Place,
    is_finished: bool,
}

impl Part {
    fn create(place: Place) -> Result<Self> {
        make_directory(&place.directory).map_err(|it| failed("made", &place.directory, &it))?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&place.part).map_err(|it| failed("made", &place.part, &it))?;
        Ok(Self { file, place, is_finished: false })
    }

    fn write(mut self, chunks: &[Bytes]) -> Result<Self> {
        for chunk in chunks {
            self.file.write_all(chunk).map_err(|it| failed("written", &self.place.part, &it))?;
        }
        Ok(self)
    }

    /// Makes it durable, and then gives it its name, durably.
    fn finish(mut self) -> Result<()> {
        let finished = self
            .file
            .sync_all()
            .and_then(|()| fs::rename(&self.place.part, &self.place.file))
            .and_then(|()| sync(&self.place.directory))
            // The directory may be new, whoever has made it.
            .and_then(|()| sync(&self.place.parent));
        finished.map_err(|it| failed("written", &self.place.file, &it))?;
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_finished {
            // Whoever removes the blob later removes this too.
            let _ = fs::remove_file(&self.place.part);
        }
    }
}

/// A blob that is being read.
struct Reading {
    file: File,
    path: PathBuf,
    left: u64,
}

impl Reading {
    fn next(mut self) -> Result<(Bytes, Self)> {
        let wanted = usize::try_from(self.left).unwrap_or(PART_BYTES).min(PART_BYTES);
        let mut piece = vec![0; wanted];
        self.file.read_exact(&mut piece).map_err(|it| failed("read", &self.path, &it))?;
        self.left = self.left.saturating_sub(u64::try_from(wanted).unwrap_or_default());
        Ok((piece.into(), self))
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes the names in a directory durable.
fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Error {
    Error::internal(format!("{} cannot be {what}: {error}", path.display()))
}

/// Runs what may wait for the disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    spawn_blocking(work).await.map_err(Error::internal)?
}
