use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use redis::cmd;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, yield_now};

use super::*;

/// A Redis whose answers are given by hand.
struct ByHand {
    asked: mpsc::UnboundedSender<Question>,
    down: AtomicBool,
}

/// A command that waits for its answer.
struct Question {
    words: Vec<String>,
    answer: oneshot::Sender<RedisResult<Value>>,
}

impl Wire for ByHand {
    async fn ask(&self, command: &Cmd) -> RedisResult<Value> {
        let words = command.args_iter().map(|word| match word {
            redis::Arg::Simple(word) => String::from_utf8_lossy(word).into_owned(),
            other => panic!("{other:?}"),
        });
        let (answer, answered) = oneshot::channel();
        let words = words.collect();
        let asked = self.asked.send(Question { words, answer });
        asked.expect("the test listens");
        answered.await.expect("the test answers")
    }

    fn is_down(&self) -> bool {
        self.down.load(Ordering::SeqCst)
    }
}

/// Reads, and the Redis that they ask.
struct Scene {
    reads: Arc<Reads<ByHand>>,
    asked: mpsc::UnboundedReceiver<Question>,
}

impl Scene {
    fn new() -> Self {
        let (sender, asked) = mpsc::unbounded_channel();
        let by_hand = ByHand {
            asked: sender,
            down: AtomicBool::new(false),
        };
        Self {
            reads: Arc::new(Reads::new(by_hand)),
            asked,
        }
    }

    /// Begins to read each of `names`, and lets all of them get as far as they do.
    async fn begin<const N: usize>(&self, names: [&'static str; N]) -> [JoinHandle<Answer>; N] {
        let begun = names.map(|name| {
            let reads = self.reads.clone();
            tokio::spawn(async move { reads.get(key(name)).await })
        });
        settle().await;
        begun
    }

    /// What has been asked next; nothing more has.
    fn only(&mut self) -> Question {
        let question = self.asked.try_recv().expect("something is asked");
        self.nothing_more();
        question
    }

    fn nothing_more(&mut self) {
        if let Ok(question) = self.asked.try_recv() {
            panic!("{:?} was asked", question.words);
        }
    }

    /// How many commands are under way, or will be.
    fn trips(&self) -> usize {
        self.reads.0.places.lock().trips
    }
}

impl Question {
    fn is(&self, words: &str) {
        assert_eq!(self.words.join(" "), words);
    }

    fn answer(self, answer: RedisResult<Value>) {
        self.answer.send(answer).expect("somebody waits");
    }

    /// Answers each key with its name and `version`.
    fn answer_all(self, version: u32) {
        let value = |name: &String| text(&format!("{name} {version}"));
        let answer = match &*self.words[0] {
            "GET" => value(&self.words[1]),
            _ => Value::Array(self.words[1..].iter().map(value).collect()),
        };
        self.answer(Ok(answer));
    }
}

fn key(name: &str) -> Key<'_> {
    Key { prefix: "", name }
}

fn text(text: &str) -> Value {
    Value::BulkString(text.as_bytes().to_vec())
}

/// Lets everybody get as far as they do by themselves; there is one thread.
async fn settle() {
    for _ in 0..100 {
        yield_now().await;
    }
}

async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context))).await
}

async fn read(reading: JoinHandle<Answer>) -> String {
    let answer = reading.await.expect("no panic");
    String::from_utf8(answer.expect("an answer").expect("a value")).expect("text")
}

async fn failed(reading: JoinHandle<Answer>) -> TierError {
    reading.await.expect("no panic").expect_err("a failure")
}

#[tokio::test]
async fn a_read_that_is_the_only_one_goes_at_once_by_itself() {
    let mut scene = Scene::new();
    for _ in 0..2 {
        let mut reading = Box::pin(scene.reads.get(key("a")));
        assert!(poll_once(&mut reading).await.is_pending());
        let question = scene.asked.try_recv().expect("asked in the first poll");
        question.is("GET a");
        question.answer_all(1);
        let answer = poll_once(&mut reading).await;
        assert!(answer.is_ready(), "answered in the poll after that");
        assert_eq!(scene.trips(), 0);
    }
}

#[tokio::test]
async fn reads_that_come_while_one_is_under_way_go_together_and_do_not_wait_for_it() {
    let mut scene = Scene::new();
    let [first] = scene.begin(["a"]).await;
    let alone = scene.only();
    alone.is("GET a");
    let [b, c, a] = scene.begin(["b", "c", "a"]).await;
    let together = scene.only();
    together.is("MGET b c a");
    together.answer_all(2);
    assert_eq!(read(b).await, "b 2");
    assert_eq!(read(c).await, "c 2");
    assert_eq!(read(a).await, "a 2");
    alone.answer_all(1);
    assert_eq!(read(first).await, "a 1");
    assert_eq!(scene.trips(), 0);
}

#[tokio::test]
async fn what_has_been_sent_is_joined_by_nobody() {
    let mut scene = Scene::new();
    let [_first] = scene.begin(["x"]).await;
    let alone = scene.only();
    let [before] = scene.begin(["a"]).await;
    let sent = scene.only();
    sent.is("MGET a");
    // A purge is told of here: whoever asks from now on must not be given what was read before.
    let [after] = scene.begin(["a"]).await;
    let later = scene.only();
    later.is("MGET a");
    sent.answer_all(1);
    settle().await;
    assert!(!after.is_finished());
    later.answer_all(2);
    assert_eq!(read(before).await, "a 1");
    assert_eq!(read(after).await, "a 2");
    // Nor is one that went alone.
    let [after] = scene.begin(["x"]).await;
    alone.answer_all(1);
    settle().await;
    assert!(!after.is_finished());
    scene.only().answer_all(2);
    assert_eq!(read(after).await, "x 2");
}

#[tokio::test]
async fn with_many_commands_under_way_the_next_one_waits_and_takes_all_along() {
    let mut scene = Scene::new();
    let [_first] = scene.begin(["x"]).await;
    let mut under_way = vec![scene.only()];
    for _ in 0..Reads::<ByHand>::MOST_SHARED {
        let [_reading] = scene.begin(["x"]).await;
        under_way.push(scene.only());
    }
    let [a] = scene.begin(["a"]).await;
    let [b] = scene.begin(["b"]).await;
    scene.nothing_more();
    under_way.pop().expect("one").answer_all(1);
    settle().await;
    let next = scene.only();
    next.is("MGET a b");
    next.answer_all(1);
    assert_eq!((read(a).await, read(b).await), ("a 1".into(), "b 1".into()));
}

#[tokio::test]
async fn a_reader_that_is_dropped_at_any_point_strands_nobody() {
    // (a) Alone, under way: no other read is, so the next one goes alone.
    let mut scene = Scene::new();
    let reads = scene.reads.clone();
    let [first] = scene.begin(["a"]).await;
    let _unanswered = scene.only();
    first.abort();
    settle().await;
    assert_eq!(scene.trips(), 0);
    let [again] = scene.begin(["a"]).await;
    let question = scene.only();
    question.is("GET a");

    // (b) First of those who gather, before they are sent.
    let mut gathered = Box::pin(reads.get(key("b")));
    assert!(poll_once(&mut gathered).await.is_pending());
    let mut other = Box::pin(reads.get(key("c")));
    assert!(poll_once(&mut other).await.is_pending());
    scene.nothing_more();
    drop(gathered);
    settle().await;
    let together = scene.only();
    together.is("MGET b c");
    together.answer_all(1);
    assert_eq!(other.await, Ok(Some(b"c 1".to_vec())));

    // (c) First of those who gathered, after they were sent.
    let [first, second] = scene.begin(["d", "e"]).await;
    let together = scene.only();
    together.is("MGET d e");
    first.abort();
    settle().await;
    together.answer_all(1);
    assert_eq!(read(second).await, "e 1");

    // (d) First of those who wait for room.
    let mut under_way = Vec::new();
    for _ in 0..Reads::<ByHand>::MOST_SHARED {
        let [_reading] = scene.begin(["x"]).await;
        under_way.push(scene.only());
    }
    let [first, second] = scene.begin(["f", "g"]).await;
    scene.nothing_more();
    first.abort();
    under_way.pop().expect("one").answer_all(1);
    settle().await;
    scene.only().answer_all(1);
    assert_eq!(read(second).await, "g 1");
    question.answer_all(1);
    assert_eq!(read(again).await, "a 1");
}

#[tokio::test]
async fn nothing_is_sent_for_readers_that_are_all_gone() {
    let mut scene = Scene::new();
    let [_first] = scene.begin(["a"]).await;
    let alone = scene.only();
    let mut gathered = Box::pin(scene.reads.get(key("b")));
    assert!(poll_once(&mut gathered).await.is_pending());
    drop(gathered);
    settle().await;
    scene.nothing_more();
    assert_eq!(scene.trips(), 1);
    alone.answer_all(1);
    settle().await;
    assert_eq!(scene.trips(), 0);
}

#[tokio::test]
async fn a_command_that_fails_fails_all_who_share_it_and_nobody_else() {
    let mut scene = Scene::new();
    let [first] = scene.begin(["a"]).await;
    let alone = scene.only();
    for answer in [
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into()),
        Ok(Value::Array(vec![text("one too few")])),
        Ok(text("no list")),
    ] {
        let [b, c] = scene.begin(["b", "c"]).await;
        scene.only().answer(answer);
        assert_eq!(failed(b).await, TierError::Failed);
        assert_eq!(failed(c).await, TierError::Failed);
        scene.nothing_more();
    }
    alone.answer_all(1);
    assert_eq!(read(first).await, "a 1");
    assert_eq!(scene.trips(), 0);
}

#[tokio::test]
async fn a_key_that_is_no_string_is_nothing_among_others() {
    let mut scene = Scene::new();
    let [_first] = scene.begin(["a"]).await;
    let _alone = scene.only();
    let [list, number, string] = scene.begin(["list", "number", "string"]).await;
    let values = vec![Value::Nil, Value::Int(1), text("v")];
    scene.only().answer(Ok(Value::Array(values)));
    assert_eq!(list.await.expect("no panic"), Ok(None));
    assert_eq!(failed(number).await, TierError::Failed);
    assert_eq!(read(string).await, "v");
}

#[tokio::test]
async fn those_who_wait_while_redis_goes_down_are_refused() {
    let mut scene = Scene::new();
    let [_first] = scene.begin(["a"]).await;
    let _alone = scene.only();
    scene.reads.wire().down.store(true, Ordering::SeqCst);
    let [b, c] = scene.begin(["b", "c"]).await;
    scene.nothing_more();
    assert_eq!(failed(b).await, TierError::Refused);
    assert_eq!(failed(c).await, TierError::Refused);
}

#[tokio::test]
async fn where_the_server_takes_one_key_at_a_time_each_read_goes_alone_from_then_on() {
    let unknown = "unknown command 'MGET', with args beginning with: 'b'";
    for (code, detail) in [
        (
            "NOPERM",
            "this user has no permissions to run the 'mget' command",
        ),
        ("ERR", unknown),
    ] {
        let mut scene = Scene::new();
        let [_first] = scene.begin(["a"]).await;
        let _alone = scene.only();
        let [b, c] = scene.begin(["b", "c"]).await;
        let refusal = format!("-{code} {detail}\r\n");
        let refusal = redis::parse_redis_value(refusal.as_bytes()).expect("well-formed");
        let question = scene.only();
        question.answer(refusal.extract_error());
        settle().await;
        for name in ["b", "c"] {
            let question = scene.asked.try_recv().expect("each asks for itself");
            question.is(&format!("GET {name}"));
            question.answer_all(1);
        }
        assert_eq!((read(b).await, read(c).await), ("b 1".into(), "c 1".into()));
        let [_d] = scene.begin(["d"]).await;
        scene.only().is("GET d");
    }
    let busy = redis::parse_redis_value(b"-LOADING in a minute\r\n").expect("well-formed");
    let busy = busy.extract_error().expect_err("an error");
    assert!(!refuses_many(&busy));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_for_any_answer_nor_for_a_runtime_that_stands_still() {
    let mut scene = Scene::new();
    // One that is not run any more, once somebody has gathered on it.
    let stopped = tokio::runtime::Builder::new_current_thread().build();
    let stopped = stopped.expect("a runtime");
    let [_first] = scene.begin(["a"]).await;
    let _alone = scene.only();
    let Place::Gathered(_, _gone) = ({
        let _entered = stopped.enter();
        scene.reads.0.place(key("b"))
    }) else {
        panic!("it gathers");
    };
    let began = tokio::time::Instant::now();
    let [c] = scene.begin(["c"]).await;
    scene.nothing_more();
    assert_eq!(failed(c).await, TierError::Failed);
    assert!(began.elapsed() <= TIMEOUT + Duration::from_millis(10));
    let [d] = scene.begin(["d"]).await;
    let question = scene.only();
    question.is("MGET d");
    question.answer_all(1);
    assert_eq!(read(d).await, "d 1");
    stopped.shutdown_background();
}

#[tokio::test]
async fn a_runtime_that_ends_fails_those_who_gathered_on_it() {
    let mut scene = Scene::new();
    let [_first] = scene.begin(["a"]).await;
    let _alone = scene.only();
    let ended = tokio::runtime::Builder::new_current_thread().build();
    let ended = ended.expect("a runtime");
    let Place::Gathered(_, first) = ({
        let _entered = ended.enter();
        scene.reads.0.place(key("b"))
    }) else {
        panic!("it gathers");
    };
    let [c] = scene.begin(["c"]).await;
    ended.shutdown_background();
    settle().await;
    assert!(c.is_finished(), "at once");
    assert_eq!(failed(c).await, TierError::Failed);
    assert!(first.await.is_err());
    assert_eq!(scene.trips(), 1);
}

#[tokio::test]
async fn a_command_has_as_many_keys_as_its_answer_may_be_large() {
    for (bytes, most) in [
        (0, 128),
        (1_024, 128),
        (8_192, 128),
        (8_193, 127),
        (1 << 20, 1),
        (1 << 30, 1),
    ] {
        assert_eq!(most_keys(bytes), most, "{bytes}");
    }
    let mut scene = Scene::new();
    let [_first] = scene.begin(["a"]).await;
    let alone = scene.only();
    let readings = scene.begin(["b"; 130]).await;
    let mut keys = Vec::new();
    while let Ok(question) = scene.asked.try_recv() {
        keys.push(question.words.len() - 1);
        question.answer_all(1);
    }
    keys.sort_unstable();
    assert_eq!(keys, [2, 128]);
    for reading in readings {
        assert_eq!(read(reading).await, "b 1");
    }
    // From a large value it learns at once, from small ones by and by.
    alone.answer(Ok(Value::BulkString(vec![0; 600_000])));
    settle().await;
    let places = &scene.reads.0.places;
    assert_eq!(most_keys(places.lock().usual_bytes), 1);
    for _ in 0..64 {
        places.lock().note(Sizes {
            values: 2,
            bytes: 2_000,
        });
    }
    assert!(most_keys(places.lock().usual_bytes) > 100);
}

#[test]
fn a_key_stands_behind_its_prefix() {
    let key = Key {
        prefix: "shop:",
        name: "plan:7",
    };
    let plain = cmd("GET").arg("shop:plan:7").get_packed_command();
    assert_eq!(key.command("GET").get_packed_command(), plain);
}
