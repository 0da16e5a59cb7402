# Every routine of the project. `just` is not needed: each is one command.

# Sample and serve this host
run *arguments:
    cargo run --release -- {{ arguments }}

# What a change must pass before it is tried for real
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- --deny warnings
    RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --locked
    cargo check --manifest-path fuzz/Cargo.toml --locked --target-dir target/fuzz

# All tests
test:
    scripts/test

# Fuzz every parser, for so many seconds each
fuzz seconds="30":
    scripts/fuzz {{ seconds }}

# Change a file in small ways and see what no test notices: just mutants perfwatch-store plan.rs (needs cargo-mutants)
mutants package file *arguments:
    cargo mutants --package {{ package }} --file crates/{{ package }}/src/{{ file }} --output target {{ arguments }}

# CPU time beside the floor and the peers; writes docs/benchmarks.md
bench:
    bench/run.py --write

# A thousand live clients, bad ones, and requests beside node_exporter's; writes its section of docs/benchmarks.md
bench-clients:
    bench/clients.py --write

# Cost, memory, disk, answers and sizes beside Netdata, Prometheus, VictoriaMetrics, Glances and psutil (needs root, and bench/peers.py says what else)
bench-peers:
    bench/peers.py --write

# A static binary, a .deb and what an image is built from, in target/package (needs musl-tools)
package:
    scripts/package

# Install the package in a fresh Debian and take it away again (needs root and debootstrap)
test-package: package
    scripts/test-package

# Write the generated documents anew
docs:
    UPDATE_DOCS=1 cargo test --package perfwatch --bin perfwatch -- the_document_of_metrics the_file_with_every_setting openapi
    UPDATE_DOCS=1 cargo test --package perfwatch-verdict --lib the_document_of_rules

# Cause trouble on this host and ask what it is; writes docs/situations.md (needs root, stress-ng and fio)
situations:
    scripts/situations --write

# Build the page anew
web:
    cd web && npm ci --ignore-scripts && npm run types && npm run build

# Take the pictures of the page anew, on a host at work
pictures:
    cd web && PICTURES=../docs/images npx playwright test pictures

# Look at the recorded snapshots that changed, and accept them
accept:
    INSTA_UPDATE=always cargo test --package perfwatch-collect --test it fixtures
    git diff --stat

# Known vulnerabilities of what PerfWatch is built from (needs cargo-deny and the network)
audit:
    cargo deny check
