//! Streams: many at once, each at its pace, and how evenly the chunks come.
//!
//! The streams begin spread over a second, since a thousand chunks at the same instant is what no gateway meets. Late is a
//! chunk by how much it comes after the time that the first one of its stream sets.

use std::time::{Duration, Instant};

use tokio::{task::JoinSet, time};

use crate::{
    arguments::Arguments,
    client::{self, Target},
    figures::{Figures, Times},
    sse::Event,
};

/// A gap that is longer than the nominal one by this much is counted.
const LONG: Duration = Duration::from_millis(100);
const SPREAD: Duration = Duration::from_secs(1);

/// What is asked of whom.
#[derive(Debug)]
pub(crate) struct Load {
    target: Target,
    streams: u32,
    chunks_per_second: f64,
    lasting: Duration,
}

impl Load {
    pub(crate) fn from_arguments(mut arguments: Arguments) -> Result<Self, String> {
        let load = Self {
            target: arguments.target()?,
            streams: arguments.number("streams", 1000)?,
            chunks_per_second: arguments.number("chunks-per-second", 50.0)?,
            lasting: arguments.seconds(20)?,
        };
        arguments.end()?;
        Ok(load)
    }
}

/// What became of a stream, or of all.
#[derive(Debug, Default)]
struct Found {
    first: Times,
    gaps: Times,
    late: Times,
    chunks: u64,
    long_gaps: u64,
    failed: u64,
    whole: u64,
}

/// Runs the streams.
pub(crate) async fn run(load: Load) -> Result<Figures, String> {
    let client = client::client()?;
    let chunks = (load.chunks_per_second * load.lasting.as_secs_f64()) as u64;
    let nominal = Duration::from_secs_f64(1.0 / load.chunks_per_second);
    let begin = time::Instant::now();
    let mut tasks = JoinSet::new();
    for number in 0..load.streams {
        let (client, target) = (client.clone(), load.target.clone());
        let model = format!("stream:{chunks}@{}", load.chunks_per_second);
        let body = client::body(&model, &format!("Stream {number}:"), 64, true);
        tasks.spawn(async move {
            time::sleep_until(begin + SPREAD * number / load.streams).await;
            let mut stream = Stream { asked: Instant::now(), nominal, last: None, begin: None, is_done: false };
            let mut found = Found::default();
            let status = target.stream(&client, body, |event, now| stream.hear(event, now, &mut found)).await;
            let is_whole = status == Some(200) && stream.is_done && found.chunks == chunks;
            found.whole = u64::from(is_whole);
            found.failed = u64::from(!is_whole);
            found
        });
    }
    let mut all = Found::default();
    while let Some(Ok(found)) = tasks.join_next().await {
        all.first.append(found.first);
        all.gaps.append(found.gaps);
        all.late.append(found.late);
        all.chunks += found.chunks;
        all.long_gaps += found.long_gaps;
        all.failed += found.failed;
        all.whole += found.whole;
    }
    let figures = all.figures(begin.elapsed());
    figures.print();
    Ok(figures)
}

/// A stream under way.
struct Stream {
    asked: Instant,
    nominal: Duration,
    last: Option<Instant>,
    begin: Option<Instant>,
    is_done: bool,
}

impl Stream {
    fn hear(&mut self, event: Event<'_>, now: Instant, found: &mut Found) {
        match event {
            Event::Content => {}
            Event::Done => return self.is_done = true,
            Event::Usage(_) | Event::Error => return,
        }
        let begin = *self.begin.get_or_insert(now);
        match self.last {
            None => found.first.push(now - self.asked),
            Some(last) => {
                let gap = now - last;
                found.gaps.push(gap);
                found.long_gaps += u64::from(gap > self.nominal + LONG);
                let due = begin + self.nominal.mul_f64(found.chunks as f64);
                found.late.push(now.saturating_duration_since(due));
            }
        }
        self.last = Some(now);
        found.chunks += 1;
    }
}

impl Found {
    fn figures(self, took: Duration) -> Figures {
        let mut figures = Figures::default();
        figures.add("streams.whole", self.whole as f64);
        figures.add("streams.failed", self.failed as f64);
        figures.add("chunks", self.chunks as f64);
        figures.add("chunks_per_second", self.chunks as f64 / took.as_secs_f64());
        figures.add("gaps.long", self.long_gaps as f64);
        for (name, times) in [("first", self.first), ("gaps", self.gaps), ("late", self.late)] {
            for (percentile, value) in times.summary().named() {
                figures.add(format!("{name}.{percentile}"), value);
            }
        }
        figures
    }
}
