//! One attempt: a provider is asked, and its answer read and given on as it comes.

use std::{future::ready, pin::pin, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, TryFutureExt};
use tokio::time::{Instant, sleep_until, timeout};

use super::{Call, End, Ending, Shared, closed, refused};
use crate::{
    calls::{
        endpoint::Endpoint,
        outlet::{Head, Outlet},
        routes::Target,
    },
    ports::Answer,
    providers::{Ask, Class, Failure, Mode, Piece, Reader, Reply, Summary},
};

/// Before there is output pieces are held back, so that somebody else can still be asked; but only so many, so much and so long.
const HELD_PIECES: usize = 64;
const HELD_BYTES: usize = 256 * 1024;
const HELD_FOR: Duration = Duration::from_secs(10);
/// How long the end of a body is waited for behind the end of the answer, so that the connection can be used again.
const BODY_END: Duration = Duration::from_millis(100);

/// What happens next while an answer is awaited.
enum Event {
    Piece(Result<Bytes, Failure>),
    Over,
    TimedOut(Failure),
    Left,
    Closing,
}

/// An answer on its way.
struct Passing<'a> {
    call: &'a mut Call,
    head: Head,
    mode: Mode,
    /// Pieces that were not given yet.
    held: Vec<Bytes>,
    held_bytes: usize,
    /// From when on it counts how long pieces were held.
    since: Instant,
    ending: Ending,
    is_over: bool,
}

impl Shared {
    /// Asks a provider once. An error is a failure without output, and is on its way to the log; whoever reads on may ask again.
    pub(super) async fn attempt(
        &self,
        call: &mut Call,
        endpoint: &Endpoint,
        target: &Target,
    ) -> Result<(End, Summary, Ending), Failure> {
        let provider = &*endpoint.provider;
        let knows = provider.capabilities().idempotency;
        let key = knows.then(|| format!("{}-{}", call.record.id, provider.name()));
        let started = call.record.started(provider, &target.model, key.as_deref());
        call.unwritten.push(started);
        let durable = match self.begin(call).await {
            Ok(durable) => durable,
            Err(failure) => {
                endpoint.record(&target.model, Err(&failure));
                return Err(failure);
            }
        };
        let was_requested = std::mem::replace(&mut call.is_requested, true);
        let request = &call.record.request;
        let hides_usage = endpoint.asks_usage && !request.asks_usage;
        let ask = Ask {
            kind: request.kind,
            mode: request.mode,
            body: request.body_for(&target.model, endpoint.asks_usage),
            original: request.body.clone(),
            model: target.model.clone(),
            idempotency_key: key,
            hides_usage,
            call: call.record.id,
        };
        let ended = self.ask(call, endpoint, ask, durable).await;
        if ended.as_ref().is_err_and(|failure| failure.class == Class::Log) {
            call.is_requested = was_requested;
        }
        match &ended {
            Ok((End::Completed, ..)) => endpoint.record(&target.model, Ok(())),
            Ok((End::Failed(failure), ..)) | Err(failure) => endpoint.record(&target.model, Err(failure)),
            Ok((End::Cancelled | End::Interrupted, ..)) => {
                endpoint.record(&target.model, Err(&Failure::new(Class::Cancelled, "")));
            }
        }
        if let Err(failure) = &ended {
            call.unwritten.push(call.record.failed(failure));
        }
        ended
    }

    /// Appends that the provider is about to be asked, as far as it has to be there before: for a caller who waits the log may
    /// sync meanwhile, since a crash of this process leaves the attempt on the log all the same, and after a loss of power nobody
    /// repeats it. Where the call is one that is taken up again, the attempt must be durable, or it would be made twice.
    async fn begin(&self, call: &mut Call) -> Result<Answer<'_, ()>, Failure> {
        let entries = std::mem::take(&mut call.unwritten);
        if matches!(call.outlet, Outlet::Nobody) {
            self.append(entries).await?;
            return Ok(Box::pin(ready(Ok(()))));
        }
        self.log.begin(entries).await.map_err(refused)
    }

    /// Asks, and reads the answer, of which nothing is given on before the attempt is `durable`.
    async fn ask(
        &self,
        call: &mut Call,
        endpoint: &Endpoint,
        ask: Ask,
        durable: Answer<'_, ()>,
    ) -> Result<(End, Summary, Ending), Failure> {
        let timeouts = endpoint.timeouts;
        let begun = Instant::now();
        let (first_byte, whole) = (begun + timeouts.first_byte, begun + timeouts.whole);
        let late = || {
            Failure::new(
                Class::FirstByte,
                format!("the provider did not begin to answer within {} ms", timeouts.first_byte.as_millis()),
            )
        };
        let too_long = || {
            Failure::new(Class::Whole, format!("the answer was not complete within {} ms", timeouts.whole.as_millis()))
        };
        let mut closing = self.closing.subscribe();
        let mut closing = pin!(closed(&mut closing));
        let nothing = |end| Ok((end, Summary::default(), Ending::default()));
        let (mode, model) = (ask.mode, ask.model.clone());
        // The provider alone is timed: that the log is slow is no fault of it.
        let replied = async {
            tokio::select! {
                reply = endpoint.provider.ask(ask) => reply,
                () = sleep_until(first_byte.min(whole)) => Err(if whole < first_byte { too_long() } else { late() }),
            }
        };
        let Reply { content_type, headers, mut body, mut reader } = tokio::select! {
            both = async { tokio::try_join!(replied, durable.map_err(refused)) } => both?.0,
            () = call.outlet.left() => return nothing(End::Cancelled),
            () = &mut closing => return nothing(End::Interrupted),
        };
        call.record.answered(&content_type, &headers);
        let is_stream = content_type.to_ascii_lowercase().starts_with("text/event-stream");
        let head = Head {
            call: call.record.id,
            provider: endpoint.provider.name().to_owned(),
            model,
            attempts: call.record.attempts(),
            content_type,
            headers,
        };
        let mut passing = Passing {
            call,
            head,
            mode,
            held: Vec::new(),
            held_bytes: 0,
            since: Instant::now(),
            ending: Ending::default(),
            is_over: false,
        };
        let stalled = || {
            let message = format!("nothing came for {} ms within the answer", timeouts.between_bytes.as_millis());
            Failure::new(Class::BetweenBytes, message)
        };
        let mut pieces = Vec::new();
        let mut last_come: Option<Instant> = None;
        let mut has_ended = false;
        // Set anew when it rings, and not for every piece.
        let mut timer = pin!(sleep_until(first_byte.min(whole)));
        loop {
            let event = tokio::select! {
                biased;
                piece = body.next() => piece.map_or(Event::Over, Event::Piece),
                () = passing.call.outlet.left() => Event::Left,
                () = &mut closing => Event::Closing,
                () = &mut timer => {
                    let limit = last_come.map_or(first_byte, |come| come + timeouts.between_bytes);
                    if limit.min(whole) > Instant::now() {
                        timer.as_mut().reset(limit.min(whole));
                        continue;
                    }
                    Event::TimedOut(if whole < limit { too_long() } else if last_come.is_some() { stalled() } else { late() })
                }
            };
            let read = match event {
                Event::Piece(Ok(bytes)) => {
                    let now = Instant::now();
                    if !bytes.is_empty() && last_come.replace(now).is_none() {
                        timer.as_mut().reset((now + timeouts.between_bytes).min(whole));
                    }
                    passing.call.record.piece(&bytes);
                    // A slow drip is never silent: only the whole bounds it.
                    if now > whole { Err(too_long()) } else { reader.read(&bytes, &mut pieces) }
                }
                Event::Over => {
                    (passing.is_over, has_ended) = (true, true);
                    reader.end(&mut pieces)
                }
                Event::Piece(Err(failure)) | Event::TimedOut(failure) => Err(failure),
                Event::Left => return Ok(passing.left(End::Cancelled, &*reader)),
                Event::Closing => return Ok(passing.left(End::Interrupted, &*reader)),
            };
            if passing.is_over && read.is_ok() && mode == Mode::Stream && !is_stream {
                let message =
                    format!("the answer is {}, and text/event-stream was asked for", passing.head.content_type);
                return Err(Failure::new(Class::Malformed, message));
            }
            for piece in pieces.drain(..) {
                if passing.give(piece).await.is_err() {
                    return Ok(passing.left(End::Cancelled, &*reader));
                }
            }
            if let Err(failure) = read {
                if !passing.ending.has_output && !passing.call.outlet.is_begun() {
                    return Err(failure);
                }
                return Ok(passing.left(End::Failed(failure), &*reader));
            }
            if passing.is_over {
                // The connection is free again once its body has been read to the end; where that does not come it is closed.
                if !has_ended {
                    let _ = timeout(BODY_END, body.next()).await;
                }
                return Ok(passing.completed(&*reader));
            }
        }
    }
}

impl Passing<'_> {
    /// Gives a piece on, or holds it back. The last piece of all is held until the call is settled.
    async fn give(&mut self, piece: Piece) -> Result<(), super::super::outlet::Left> {
        if piece.is_output {
            self.ending.has_output = true;
            self.call.record.output();
        }
        if piece.is_last {
            self.is_over = true;
        }
        if self.mode == Mode::Whole || piece.is_last {
            self.ending.last.push(piece.bytes);
            return Ok(());
        }
        self.held_bytes += piece.bytes.len();
        self.held.push(piece.bytes);
        let is_enough =
            self.held.len() > HELD_PIECES || self.held_bytes > HELD_BYTES || self.since.elapsed() > HELD_FOR;
        if !self.ending.has_output && !is_enough && !self.call.outlet.is_begun() {
            return Ok(());
        }
        self.begin()?;
        for bytes in self.held.drain(..) {
            self.call.outlet.give(bytes).await?;
        }
        self.held_bytes = 0;
        Ok(())
    }

    fn begin(&mut self) -> Result<(), super::super::outlet::Left> {
        if self.call.outlet.is_begun() { Ok(()) } else { self.call.outlet.begin(self.head.clone()) }
    }

    /// The answer ends before it is complete.
    fn left(self, end: End, reader: &dyn Reader) -> (End, Summary, Ending) {
        (end, reader.summary().clone(), self.ending)
    }

    fn completed(mut self, reader: &dyn Reader) -> (End, Summary, Ending) {
        if self.mode == Mode::Stream {
            // An answer without output is whole as well.
            if self.begin().is_err() {
                return self.left(End::Cancelled, reader);
            }
            let last = std::mem::take(&mut self.ending.last);
            self.ending.last = self.held.drain(..).chain(last).collect();
        }
        self.ending.head = Some(self.head.clone());
        (End::Completed, reader.summary().clone(), self.ending)
    }
}
