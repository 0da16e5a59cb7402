//! The real server beside docs/openapi.json, by schemathesis, which nobody here wrote: whatever it makes up, no answer is an
//! error of the server, or one that the document does not have.

use std::path::Path;
use std::process::Command;

use crate::access::{log_in, make_token, with_users};
use crate::process::{Server, skipped};

/// Seconds that requests are made up for.
const SECONDS: &str = "30";

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance,unsupported_method,allow_header_conformance";

#[test]
fn every_answer_is_documented_and_none_is_an_error_of_the_server() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let venv = Command::new(root.join("scripts/venv")).output().unwrap();
    if !venv.status.success() {
        return skipped("schemathesis", String::from_utf8_lossy(&venv.stderr).trim());
    }
    let python = String::from_utf8(venv.stdout).unwrap();
    let server = Server::guarded_alone(with_users(&[("ada", "admin")]));
    let admin = make_token(&server, &log_in(&server, "ada"), "admin");
    // It leaves files where it runs.
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(Path::new(python.trim()).with_file_name("schemathesis"))
        .current_dir(dir.path())
        .arg("run")
        .arg(root.join("docs/openapi.json"))
        .args(["--url", &format!("http://{}", server.address), "--header", admin.trim()])
        // A WebSocket is not for it.
        .args(["--exclude-path", "/api/v1/live", "--checks", CHECKS])
        .args(["--max-time", SECONDS, "--seed", "1", "--no-color"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{error}");
    let cases = said.lines().find(|line| line.contains("generated")).unwrap_or_default();
    println!("{}", cases.trim());
}
