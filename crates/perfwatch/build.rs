//! Makes the table of the page's files from `web/dist`, which is committed: a build needs cargo alone.
//!
//! Files beside a file that end in `.br` and `.gz` are it, compressed by the page's own build.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let variable = |name| env::var_os(name).map(PathBuf::from).ok_or(io::ErrorKind::NotFound);
    let dist = variable("CARGO_MANIFEST_DIR")?.join("../../web/dist").canonicalize()?;
    println!("cargo:rerun-if-changed={}", dist.display());
    let mut files = BTreeMap::new();
    walk(&dist, &dist, &mut files)?;
    let mut table = String::from("static ASSETS: &[Asset] = &[\n");
    for (name, path) in &files {
        if name.ends_with(".br") || name.ends_with(".gz") {
            continue;
        }
        let compressed = |ending: &str| match files.get(&format!("{name}{ending}")) {
            Some(path) => format!("Some(include_bytes!({:?}))", path.display().to_string()),
            None => "None".to_owned(),
        };
        let mut hasher = DefaultHasher::new();
        hasher.write(&fs::read(path)?);
        // Writing to a string cannot fail.
        let _ = writeln!(
            table,
            "Asset {{ path: {:?}, raw: include_bytes!({:?}), br: {}, gz: {}, etag: \"\\\"{:016x}\\\"\" }},",
            format!("/{name}"),
            path.display().to_string(),
            compressed(".br"),
            compressed(".gz"),
            hasher.finish(),
        );
    }
    table.push_str("];\n");
    fs::write(variable("OUT_DIR")?.join("assets.rs"), table)
}

/// Every file below a directory by its name relative to `root`, with slashes.
fn walk(root: &Path, directory: &Path, files: &mut BTreeMap<String, PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(root, &path, files)?;
        } else if let Ok(name) = path.strip_prefix(root) {
            files.insert(name.to_string_lossy().into_owned(), path);
        }
    }
    Ok(())
}
