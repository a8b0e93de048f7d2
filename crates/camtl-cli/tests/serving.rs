//! `camtl serve`: the same answers as `predict`, whatever the load, and a status with a reason for
//! everything else.

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use support::Dir;
use support::fixture::{mood, order, overlap};

/// A running server.
struct Server {
    child: Child,
    address: String,
}

/// A response.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// This status and a reason with this text in it.
    #[track_caller]
    fn refuses(&self, status: u16, text: &str) {
        assert_eq!(self.status, status, "{self:?}");
        let json = self.json();
        let reason = json["error"].as_str().expect("a reason");
        assert!(reason.contains(text), "{reason:?} lacks {text:?}");
    }
}

/// One connection, kept open.
struct Client(BufReader<TcpStream>);

impl Client {
    fn send(&mut self, method: &str, path: &str, body: &[u8]) -> Answer {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let bytes = [head.as_bytes(), body].concat();
        self.0.get_mut().write_all(&bytes).expect("send");
        self.receive()
    }

    fn receive(&mut self) -> Answer {
        let mut headers = String::new();
        while !headers.ends_with("\r\n\r\n") {
            let read = self.0.read_line(&mut headers).expect("headers");
            assert!(read > 0, "the connection was closed after {headers:?}");
        }
        let headers = headers.to_lowercase();
        let field = |name: &str| {
            let line = headers.lines().find(|line| line.starts_with(name))?;
            Some(line[name.len()..].trim().to_owned())
        };
        let length = field("content-length:").expect("a length");
        let mut body = vec![0; length.parse().expect("a number")];
        self.0.read_exact(&mut body).expect("a body");
        let status = headers.split(' ').nth(1).expect("a status");
        Answer {
            status: status.parse().expect("a number"),
            body: String::from_utf8(body).expect("UTF-8"),
            headers,
        }
    }

    fn predict(&mut self, value: &Value) -> Answer {
        self.send("POST", "/predict", value.to_string().as_bytes())
    }
}

impl Server {
    fn start(dir: &Dir, options: &[&str]) -> Self {
        Self::of_tasks(dir, "mood, order, overlap", options)
    }

    fn of_tasks(dir: &Dir, tasks: &str, options: &[&str]) -> Self {
        let arguments = ["serve", "runs/first", "--port", "0"];
        let mut child = dir.start(arguments.iter().chain(options));
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("standard output");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let (names, address) = line.trim().split_once(" on http://").expect("an address");
        assert_eq!(names, format!("serving {tasks}"));
        assert!(address.starts_with("127.0.0.1:"), "{address}");
        let address = address.to_owned();
        Self { child, address }
    }

    fn client(&self) -> Client {
        let stream = TcpStream::connect(&self.address).expect("connect");
        let patience = Some(Duration::from_secs(120));
        stream.set_read_timeout(patience).expect("a time-out");
        Client(BufReader::new(stream))
    }

    /// Sends SIGTERM.
    fn ask_to_stop(&self) {
        let ran = std::process::Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        assert!(ran.expect("run kill").success());
    }

    /// Waits for a clean end and returns standard error.
    fn finish(mut self) -> String {
        let mut text = String::new();
        let stderr = self.child.stderr.as_mut().expect("standard error");
        stderr.read_to_string(&mut text).expect("standard error");
        let status = self.child.wait().expect("wait");
        assert_eq!(status.code(), Some(0), "{text}");
        assert!(!text.contains("panicked"), "{text}");
        text
    }

    fn stop(self) -> String {
        self.ask_to_stop();
        self.finish()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn trained() -> Dir {
    let dir = Dir::with_project();
    dir.train(&[
        "--set",
        "train.max_steps=20",
        "--set",
        "train.learning_rate=3e-3",
    ]);
    dir
}

/// Requests of all three tasks in turn.
fn requests(count: usize) -> Vec<Value> {
    let (mood, order, overlap) = (mood(count, 21), order(count, 22), overlap(count, 23));
    (0..count)
        .map(|at| match at % 3 {
            0 => json!({"task": "mood", "text_a": mood[at].0}),
            1 => json!({"task": "order", "text_a": order[at].0, "text_b": order[at].1}),
            _ => json!({"task": "overlap", "text_a": overlap[at].0, "text_b": overlap[at].1}),
        })
        .collect()
}

/// What `predict` answers, a line for each request.
fn predicted(dir: &Dir, requests: &[Value]) -> Vec<Value> {
    let lines: String = requests.iter().map(|r| format!("{r}\n")).collect();
    let ran = dir
        .run_with_input(["predict", "runs/first"], lines.as_bytes())
        .success();
    assert_eq!(ran.stderr, "", "no stray output");
    ran.stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[test]
fn a_thousand_requests_of_32_clients_get_the_answers_of_predict() {
    let dir = trained();
    let requests = requests(1000);
    let expected = predicted(&dir, &requests);
    assert_eq!(expected.len(), 1000);
    // One by one, task by task, `predict` says the same.
    let single: String = mood(1000, 21)
        .iter()
        .step_by(3)
        .map(|(text, _)| format!("{text}\n"))
        .collect();
    let arguments = [
        "predict",
        "runs/first",
        "--task",
        "mood",
        "--format",
        "jsonl",
    ];
    let alone = dir.run_with_input(arguments, single.as_bytes()).success();
    for (line, mixed) in alone.stdout.lines().zip(expected.iter().step_by(3)) {
        let mut line: Value = serde_json::from_str(line).expect("JSON");
        line["task"] = json!("mood");
        assert_eq!(&line, mixed);
    }

    let server = Server::start(&dir, &[]);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for number in 0..32 {
            let (next, requests, expected, server) = (&next, &requests, &expected, &server);
            scope.spawn(move || {
                let mut client = server.client();
                // A third of the clients send a few at a time.
                let share = if number % 3 == 0 { 5 } else { 1 };
                loop {
                    let at = next.fetch_add(share, Ordering::Relaxed);
                    if at >= requests.len() {
                        break;
                    }
                    let end = (at + share).min(requests.len());
                    let (answer, wanted) = if share == 1 {
                        (client.predict(&requests[at]), expected[at].clone())
                    } else {
                        let wanted = json!(expected[at..end]);
                        (client.predict(&json!(requests[at..end])), wanted)
                    };
                    assert_eq!(answer.status, 200, "{answer:?}");
                    assert_eq!(answer.json(), wanted, "request {at}");
                }
            });
        }
    });

    let mut client = server.client();
    let metrics = client.send("GET", "/metrics", b"").body;
    let figure = |name: &str| -> f64 {
        let line = metrics.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("{name} is missing\n{metrics}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(figure("camtl_batch_size_sum "), 1000.0);
    assert_eq!(figure("camtl_answers_total{task=\"mood\"} "), 334.0);
    assert_eq!(figure("camtl_queue_depth "), 0.0);
    assert!(figure("camtl_tokens_total ") > 3000.0);
    let calls = figure("camtl_http_requests_total{path=\"/predict\",status=\"200\"} ");
    assert_eq!(figure("camtl_predict_seconds_count "), calls);
    // Requests of several connections shared passes.
    assert!(figure("camtl_batch_size_count ") < calls, "{metrics}");
    let told = server.stop();
    assert!(told.contains("stopped after 1000 answers"), "{told}");
}

#[test]
fn tasks_of_every_kind_are_answered_in_one_batch() {
    let dir = Dir::with_every_kind();
    dir.train(&["--set", "train.max_steps=4"]);
    let requests = [
        json!({"task": "which", "text_a": "warm", "text_b": "é warm river cold cold cold cold cold cold cold cold cold"}),
        json!({"task": "things", "text_a": "warm  river"}),
        json!({"task": "mood", "text_a": "warm"}),
        json!({"task": "better", "text_a": "river", "text_b": "effect", "choices": ["cold", "warm"]}),
        json!({"task": "alike", "text_a": "a warm", "text_b": "b", "mentions": [[2, 6], [0, 1]]}),
        json!({"task": "which", "text_a": "cold", "text_b": "warm river"}),
    ];
    let expected = predicted(&dir, &requests);
    let server = Server::of_tasks(&dir, "mood, better, things, which, alike", &[]);
    let mut client = server.client();
    assert_eq!(client.predict(&json!(requests)).json(), json!(expected));
    for (request, expected) in requests.iter().zip(&expected) {
        assert_eq!(&client.predict(request).json(), expected);
    }
    client
        .predict(
            &json!({"task": "alike", "text_a": "a", "text_b": "b", "mentions": [[0, 2], [0, 1]]}),
        )
        .refuses(400, "`mentions`, number 0");
    server.stop();
}

#[test]
fn what_cannot_be_answered_has_a_status_and_a_reason() {
    let dir = trained();
    let options = ["--max-body", "2000", "--max-items", "3", "--queue", "3"];
    let server = Server::start(&dir, &options);
    let mut client = server.client();
    let mut post = |body: &[u8]| client.send("POST", "/predict", body);
    post(b"{\"task\": ").refuses(
        400,
        "not JSON: EOF while parsing a value at line 1 column 9",
    );
    post(b"").refuses(400, "not JSON");
    post(b"\xff\xfe").refuses(400, "not JSON");
    post(b"3").refuses(
        400,
        "expected a JSON object with task, text_a, text_b, found a number",
    );
    post(b"{\"task\": \"mood\", \"text_a\": \"x\", \"txt_b\": \"y\"}")
        .refuses(400, "unknown key `txt_b`");
    post(b"{\"task\": \"order\", \"text_a\": \"x\"}").refuses(400, "no `text_b`");
    post(b"{\"task\": \"mod\", \"text_a\": \"x\"}").refuses(404, "did you mean mood?");
    post(b"[{\"task\": \"mood\", \"text_a\": \"x\"}, {\"task\": \"mood\"}]").refuses(
        400,
        "request 1 of the array: the request for `mood` has no `text_a`",
    );
    let item = json!({"task": "mood", "text_a": "x"});
    post(json!([item, item, item, item]).to_string().as_bytes())
        .refuses(413, "4 requests, at most 3");
    let long = json!({"task": "mood", "text_a": "warm ".repeat(500)});
    post(long.to_string().as_bytes()).refuses(413, "more than 2000 bytes");
    // Larger than what is read on for politeness: an answer or a closed connection, and no harm.
    let huge = vec![b' '; 3_000_000];
    let mut stream = TcpStream::connect(&server.address).expect("connect");
    let _ = write!(
        stream,
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        huge.len()
    );
    let _ = stream.write_all(&huge);
    let _ = stream.read(&mut [0; 64]);
    // Not HTTP at all.
    let mut stream = TcpStream::connect(&server.address).expect("connect");
    let _ = stream.write_all(b"\x16\x03\x01 hello\r\n\r\n");
    let _ = stream.read(&mut [0; 64]);

    let mut client = server.client();
    client
        .send("GET", "/predict", b"")
        .refuses(405, "/predict takes POST");
    client
        .send("GET", "/nowhere", b"")
        .refuses(404, "GET /tasks");
    assert_eq!(client.predict(&json!([])).json(), json!([]));
    let answer = client.predict(&item);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.headers.contains("content-type: application/json"));
    let health = client.send("GET", "/health", b"").json();
    assert_eq!(
        (&health["status"], &health["tasks"]),
        (&json!("ok"), &json!(3))
    );
    let tasks = client.send("GET", "/tasks", b"").json();
    assert_eq!(tasks[1]["task"], "order");
    assert_eq!(tasks[1]["kind"], "classification");
    assert_eq!(tasks[1]["labels"], json!(["same", "praise", "blame"]));
    assert_eq!(tasks[1]["pair"], true);
    let summary: Value = serde_json::from_str(&dir.read("runs/first/summary.json")).unwrap();
    assert_eq!(tasks[2]["metrics"], summary["tasks"]["overlap"]);
    server.stop();
}

#[test]
fn more_than_the_queue_holds_is_turned_away_and_told_when_to_return() {
    let dir = trained();
    // The first request waits long for company, so the queue stays full.
    let options = ["--queue", "4", "--max-items", "4", "--max-wait-ms", "1500"];
    let server = Server::start(&dir, &options);
    let four = json!(requests(4));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| server.client().predict(&four));
        let mut client = server.client();
        while client.send("GET", "/health", b"").json()["waiting"] != 4 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let turned_away = client.predict(&four[0]);
        turned_away.refuses(503, "try again later");
        assert!(
            turned_away.headers.contains("retry-after: 1"),
            "{turned_away:?}"
        );
        let answer = first.join().expect("the first client");
        assert_eq!(
            answer.json(),
            json!(predicted(&dir, four.as_array().unwrap()))
        );
    });
    // There is room again.
    assert_eq!(server.client().predict(&four).status, 200);
    server.stop();
}

#[test]
fn who_waits_too_long_is_told_so() {
    let dir = trained();
    let server = Server::start(&dir, &["--timeout", "0.2", "--max-wait-ms", "1000"]);
    let mut client = server.client();
    client
        .predict(&requests(1)[0])
        .refuses(504, "no answer within 200ms");
    // A body that does not come.
    let head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{";
    let mut slow = server.client();
    slow.0.get_mut().write_all(head).expect("send");
    slow.receive().refuses(408, "did not arrive within 200ms");
    server.stop();
}

#[test]
fn stopping_finishes_what_is_queued() {
    let dir = trained();
    let server = Server::start(&dir, &["--max-wait-ms", "1000"]);
    let request = requests(1).remove(0);
    let expected = predicted(&dir, std::slice::from_ref(&request)).remove(0);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| server.client().predict(&request));
        let mut client = server.client();
        while client.send("GET", "/health", b"").json()["waiting"] != 1 {
            std::thread::sleep(Duration::from_millis(5));
        }
        server.ask_to_stop();
        assert_eq!(waiting.join().expect("the client").json(), expected);
    });
    let address = server.address.clone();
    let told = server.finish();
    assert!(told.contains("stopped after 1 answers"), "{told}");
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn options_that_cannot_work_are_refused() {
    let dir = trained();
    let serve = |options: &[&str]| dir.run(["serve", "runs/first"].iter().chain(options));
    serve(&["--queue", "0"]).fails_with(2, &["--queue is 0"]);
    serve(&["--queue", "5"]).fails_with(2, &["--queue 5 is smaller than --max-items 256", "hint:"]);
    serve(&["--timeout", "0"]).fails_with(2, &["--timeout is 0"]);
    serve(&["--host", "no.such.host.invalid"]).fails_with(2, &["no.such.host.invalid"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    serve(&["--port", &port]).fails_with(2, &["cannot listen on 127.0.0.1 port", "--port"]);
    dir.run(["serve", "runs/none"])
        .fails_with(2, &["runs/none does not exist"]);
}
