//! The package, installed and taken away again.

use std::path::Path;
use std::process::Command;

use crate::process::skipped;

#[test]
fn the_package_installs_works_and_leaves_nothing_behind() {
    const TEST: &str = "the package";
    if Command::new("dpkg-deb").arg("--version").output().is_err() {
        return skipped(TEST, "dpkg-deb is missing");
    }
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts");
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("package");
    let run = |command: &mut Command| {
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}\n{said}\n{error}");
        said
    };
    let binary = env!("CARGO_BIN_EXE_perfwatch");
    run(Command::new(scripts.join("package")).args(["--binary", binary]).arg(&out));
    let said = run(Command::new(scripts.join("test-package")).arg("--overlay").arg(&out));
    for line in said.lines().filter_map(|line| line.strip_prefix("SKIPPED: ")) {
        skipped(TEST, line);
    }
}
