//! Heads of HTTP requests: by which name, from which page, with which cookie or token; and query strings.
//!
//! The first byte says how the request came. Then come lines: method and target, then the headers.

#![no_main]
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "the program has more uses for these modules"
)]

// Modules of the program, which is no library.
#[path = "../../crates/perfwatch/src"]
mod program {
    pub(crate) mod access;
    pub(crate) mod files;
    pub(crate) mod selector;
    pub(crate) mod source;
    pub(crate) mod when;

    pub(crate) mod http {
        pub(crate) mod cookie;
        pub(crate) mod error;
        pub(crate) mod origin;
        pub(crate) mod params;
    }
    pub(crate) mod prometheus {
        pub(crate) mod text;
    }
}

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::HOST;
use http::origin::{Site, bearer, from_here, single};
use http::params::Params;
use libfuzzer_sys::fuzz_target;
use program::*;
use prometheus::text::Format;
use when::Shift;

/// Every parameter there is.
const PARAMS: [&str; 8] = ["select", "from", "to", "tz", "points", "step", "vs", "at"];

fuzz_target!(|input: &[u8]| {
    let Some((how, head)) = input.split_first() else { return };
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let mut words = first.splitn(2, |byte| *byte == b' ');
    let mut word = || words.next().unwrap_or_default();
    let mut request = Request::builder().method(word()).uri(word());
    for line in lines {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let mut part = || parts.next().unwrap_or_default().trim_ascii();
        request = request.header(part(), part());
    }
    // What is no head to the library gets no further.
    let Ok(request) = request.body(Body::empty()) else { return };
    let headers = request.headers();
    let site = Site { names: vec!["db1".to_owned()], behind_proxy: how & 1 != 0 };
    if let Ok(jar) = from_here(&request, how & 2 != 0, &site, how & 4 != 0) {
        let host = single(headers, HOST).unwrap().to_ascii_lowercase();
        let name = host.split(':').next().unwrap().trim_end_matches('.');
        let is_address = name.starts_with('[') || name.parse::<std::net::Ipv4Addr>().is_ok();
        assert!(is_address || ["localhost", "db1"].contains(&name), "{host}");
        jar.find(headers);
    }
    bearer(headers);
    Format::accepted(headers);
    let Ok(params) = Params::parse(request.uri().query(), &PARAMS) else { return };
    let _ = (params.selectors(), params.points(), params.number("at"));
    let Ok(now) = params.now() else { return };
    if let Ok(range) = params.range(&now) {
        assert!(range.from() < range.to(), "{range:?}");
        if let Ok(shift) = Shift::parse(params.get("vs").unwrap_or("-1d"), &now) {
            let _ = shift.other_side(&range);
        }
    }
});
