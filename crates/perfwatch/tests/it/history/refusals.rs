//! Questions that are refused, and what a hostile one is answered.

use std::io::Write;

use serde_json::Value;

use super::strs;
use crate::answers::{ask, encoded};
use crate::process::Server;
use crate::restless_host::RestlessHost;

#[test]
fn questions_that_make_no_sense_are_refused_with_a_reason() {
    let server = Server::start(&[]);
    server.snapshot();
    let s = "series?select=cpu.usage_percent";
    let c = "compare?select=cpu.usage_percent";
    for (question, status, code) in [
        ("series", 400, "bad-parameter"),
        ("series?select=", 400, "bad-parameter"),
        ("series?select=a%7B", 400, "bad-parameter"),
        ("series?select=a%7Bb%3Dc%7D", 400, "bad-parameter"),
        ("compare?from=now-1h", 400, "bad-parameter"),
        (&format!("{s}&what=1"), 400, "bad-parameter"),
        (&format!("{s}&vs=-1d"), 400, "bad-parameter"),
        (&format!("{c}&step=1s"), 400, "bad-parameter"),
        (&format!("{s}&from=now&from=now-1h"), 400, "bad-parameter"),
        (&format!("{s}&from=now&to=now-1h"), 400, "bad-parameter"),
        (&format!("{s}&from=now&to=now"), 400, "bad-parameter"),
        (&format!("{s}&from=soon"), 400, "bad-parameter"),
        (&format!("{s}&to=99999999999999999999"), 400, "bad-parameter"),
        (&format!("{s}&points=0"), 400, "bad-parameter"),
        (&format!("{s}&points=-1"), 400, "bad-parameter"),
        (&format!("{s}&points=many"), 400, "bad-parameter"),
        (&format!("{s}&points=10&step=1s"), 400, "bad-parameter"),
        (&format!("{s}&step=often"), 400, "bad-parameter"),
        (&format!("{s}&step=-1s"), 400, "bad-parameter"),
        (&format!("{s}&step=0s"), 400, "bad-parameter"),
        (&format!("{s}&step=1us"), 400, "bad-parameter"),
        (&format!("{s}&tz=Mars/Phobos"), 400, "bad-parameter"),
        (&format!("{s}&tz=../../../etc/passwd"), 400, "bad-parameter"),
        (&format!("{s}&from=now-1d&step=1s"), 422, "too-much"),
        (&format!("{s}&from=now-1h&step=1ms"), 422, "too-much"),
        (&format!("{c}&vs=1d"), 400, "bad-parameter"),
        (&format!("{c}&vs=-0d"), 400, "bad-parameter"),
        (&format!("{c}&vs=now..now"), 400, "bad-parameter"),
        (&format!("{c}&points=0"), 400, "bad-parameter"),
        ("events?select=cpu", 400, "bad-parameter"),
        ("events?from=now&to=-1h", 400, "bad-parameter"),
    ] {
        let (answered, head, body) = server.get(&format!("/api/v1/{question}"));
        assert_eq!(answered, status, "{question}: {body}");
        assert!(head.contains("content-type: application/problem+json"), "{question}: {head}");
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&problem["code"], &problem["status"]), (&code.into(), &status.into()));
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{body}");
    }
    let many = "select=cpu.user&".repeat(65);
    assert_eq!(server.get(&format!("/api/v1/series?{many}")).0, 400);
}

#[test]
fn more_series_than_an_answer_may_have_are_refused_with_the_limit() {
    let host = RestlessHost::new();
    let interfaces = (0..400)
        .fold("Inter-|   Receive\n face |bytes\n".to_owned(), |text, number| {
            text + &format!("  if{number}: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n")
        });
    host.write("net/dev", interfaces.as_bytes());
    let server = Server::start(&strs(&host.arguments()));
    server.snapshot();
    let (status, _, body) = server.get("/api/v1/series?select=*");
    assert_eq!(status, 422, "{body}");
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(problem["code"], "too-much");
    assert!(problem["detail"].as_str().unwrap().contains("2000"), "{body}");
}

#[test]
fn hostile_text_in_a_question_is_answered_and_never_an_error_of_ours() {
    let server = Server::start(&[]);
    server.snapshot();
    let controls: Vec<u8> = (0..=31).chain([127]).collect();
    let texts: Vec<Vec<u8>> = vec![
        controls,
        b"\x1b]0;owned\x07".to_vec(),
        b"\xff\xfe\x80".to_vec(),
        "\u{202e}\u{0}\u{fffd}".into(),
        b"*".repeat(1000),
        b"*a".repeat(500),
        b"{".repeat(3000),
        b"a{b=\"\\".to_vec(),
        b"now".repeat(1000),
        b"-".repeat(5000),
        b"9".repeat(5000),
        b"1e400".to_vec(),
        b"..".repeat(100),
        "é".repeat(500).into_bytes(),
        b"&=&&=#%".to_vec(),
    ];
    for text in &texts {
        let text = encoded(text);
        for question in [
            format!("series?select={text}"),
            format!("series?{text}={text}"),
            format!("series?select=cpu.user&from={text}"),
            format!("series?select=cpu.user&to={text}"),
            format!("series?select=cpu.user&step={text}"),
            format!("series?select=cpu.user&points={text}"),
            format!("series?select=cpu.user&tz={text}"),
            format!("compare?select=cpu.user&vs={text}"),
            format!("events?from={text}"),
        ] {
            let (status, _, body) = server.get(&format!("/api/v1/{question}"));
            assert!(matches!(status, 200 | 400 | 414 | 422 | 431), "{status} {question}: {body}");
            let answer: Value = serde_json::from_str(&body).unwrap_or_default();
            let detail = answer["detail"].as_str().unwrap_or_default();
            assert!(!detail.chars().any(char::is_control), "{question}: {detail:?}");
            assert!(detail.len() < 2000, "{question}: {detail:?}");
        }
    }
    for raw in ["%", "%zz", "%e2%28", "%00", "select=%", "?", "select=cpu.user&select=%f0%28%8c%28"]
    {
        let (status, _, body) = server.get(&format!("/api/v1/series?{raw}"));
        assert!(matches!(status, 200 | 400), "{status} {raw}: {body}");
    }
    let long = "a".repeat(64 << 10);
    let mut stream = server.connect();
    // The server may close before all is written.
    let _ = write!(stream, "GET /api/v1/series?select={long} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut answer = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stream, &mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 5"), "{}", String::from_utf8_lossy(&answer));
    ask(&server, "series?select=cpu.user");
}
