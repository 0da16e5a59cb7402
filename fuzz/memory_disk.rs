//! A directory in memory, for the targets that read the files of a store.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use perfwatch_store::disk::{Disk, Sink, Source};

type Bytes = Arc<Mutex<Vec<u8>>>;

#[derive(Debug)]
pub struct MemoryDisk(Mutex<BTreeMap<String, Bytes>>);

#[derive(Debug)]
struct File(Bytes);

impl MemoryDisk {
    /// Files of these names, all with this content.
    pub fn with(names: &[&str], content: &[u8]) -> Arc<Self> {
        let file = |name: &&str| (name.to_string(), Bytes::new(Mutex::new(content.to_vec())));
        Arc::new(Self(Mutex::new(names.iter().map(file).collect())))
    }

    fn file(&self, name: &str) -> io::Result<Box<File>> {
        let files = self.0.lock().unwrap();
        let file = files.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(File(Arc::clone(file))))
    }
}

impl Disk for MemoryDisk {
    fn path(&self) -> &Path {
        Path::new("memory")
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn Source>> {
        let file: Arc<File> = Arc::from(self.file(name)?);
        Ok(file)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn Sink>> {
        self.0.lock().unwrap().insert(name.to_owned(), Bytes::default());
        Ok(self.file(name)?)
    }

    fn append(&self, name: &str) -> io::Result<Box<dyn Sink>> {
        Ok(self.file(name)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.lock().unwrap().remove(name);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.0.lock().unwrap();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn space(&self) -> io::Result<(u64, u64)> {
        Ok((1 << 40, 1 << 40))
    }
}

impl Source for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = self.0.lock().unwrap();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(buffer.len());
        let range = bytes.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(range);
        Ok(())
    }

    fn will_need(&self, _: u64, _: u64) {}
}

impl Sink for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.lock().unwrap().truncate(length as usize);
        Ok(())
    }
}
