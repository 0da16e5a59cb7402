//! Small files that are replaced whole: whoever reads one sees it as it was or as it is, never half of it, whenever
//! the power went.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{Gid, OFlags, Uid, fchown};
use rustix::process::geteuid;

/// For the owner alone.
const PRIVATE: u32 = 0o600;

/// Replaces a file, or makes it, readable for its owner alone. Makes its directory if need be.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no path of a file"));
    };
    make_directory(dir)?;
    let mut temporary = name.to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = dir.join(temporary);
    // Left by a process of the same number, that was killed.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = write(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // What is left is in nobody's way.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    File::open(dir)?.sync_all()
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(path)?;
    give_to_owner(&file, path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a directory for its owner alone, if there is none.
pub(crate) fn make_directory(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Opens a file to append to, and makes it for its owner alone if there is none. Fails at a symbolic link: where
/// root writes to somebody else's directory, it could lead anywhere.
pub(crate) fn open_to_append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).mode(PRIVATE).custom_flags(OFlags::NOFOLLOW.bits() as i32);
    match options.clone().create_new(true).open(path) {
        Ok(file) => give_to_owner(&file, path).map(|()| file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(path),
        Err(error) => Err(error),
    }
}

/// Gives a file that was just made to whom its directory belongs to, whoever runs this: what root leaves there, the
/// server must be able to read.
pub(crate) fn give_to_owner(file: &File, path: &Path) -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = fs::metadata(dir.unwrap_or(Path::new(".")))?;
    Ok(fchown(file, Some(Uid::from_raw(dir.uid())), Some(Gid::from_raw(dir.gid())))?)
}

/// Reads a file of at most so many bytes.
pub(crate) fn read(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for who writes to it.
    let flags = OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        let error = format!("more than {max_bytes} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, error));
    }
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::print_stderr, reason = "what was skipped is said")]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    #[test]
    fn what_root_makes_is_its_directorys_owners() {
        const SOMEBODY: u32 = 4711;
        if !geteuid().is_root() {
            eprintln!("SKIPPED: files that root makes for others: needs root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        chown(dir.path(), Some(SOMEBODY), Some(SOMEBODY)).unwrap();
        let (replaced, appended) = (dir.path().join("replaced"), dir.path().join("appended"));
        replace(&replaced, b"x").unwrap();
        open_to_append(&appended).unwrap();
        for path in [replaced, appended] {
            let file = fs::metadata(path).unwrap();
            assert_eq!(
                (file.uid(), file.gid(), file.mode() & 0o777),
                (SOMEBODY, SOMEBODY, PRIVATE)
            );
        }
    }

    #[test]
    fn neither_links_are_followed_to_write_nor_pipes_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let (link, there, pipe) =
            (dir.path().join("link"), dir.path().join("there"), dir.path().join("pipe"));
        symlink(&there, &link).unwrap();
        assert!(open_to_append(&link).is_err(), "it leads to nothing");
        fs::write(&there, "x").unwrap();
        assert!(open_to_append(&link).is_err(), "it leads to a file");
        let kind = rustix::fs::FileType::Fifo;
        let mode = rustix::fs::Mode::from_raw_mode(PRIVATE);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
        assert!(read(&pipe, 10).is_err());
        assert_eq!(read(&there, 10).unwrap(), b"x");
    }
}
