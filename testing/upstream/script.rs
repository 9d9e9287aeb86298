//! The script: what the `model` of a request asks the scripted provider to do.
//!
//! The grammar is `NAME[:NUMBER][@NUMBER][#anything]`. `#anything` only makes the string unique, for counts and for faults that
//! end. `@NUMBER` is a pace, in content chunks a second, for any streamed answer. What `:NUMBER` means depends on the name.
//!
//! | Name | Answer |
//! |---|---|
//! | `plain:N` | N words (8) of a vocabulary, chosen by the last user message |
//! | `echo` | the last user message, in pieces |
//! | `stream:N@R` | N (8) numbered words, R a second |
//! | `slow:MS` | plain, the first byte after MS (1000) |
//! | `tools` | two parallel tool calls of the first two tools offered; plain once a tool's result is the last message |
//! | `reasoning:N` | reasoning, then N words; cached, cache write and reasoning tokens in the usage |
//! | `unknown:N` | fields, SSE comments and SSE lines that nobody knows, of which OpenAI's clients take no notice |
//! | `no-usage:N` | never a usage |
//! | `image` | type and size of the images it got, as JSON |
//! | `params` | the request's body, unchanged, as the text |
//! | `notes:MS` | of each quoted message in which somebody keeps something ("Tova keeps llamas.") a name and a fact as JSON, and behind them facts that nobody stated; of quoted turns a summary; the first byte after MS (0) |
//! | `notes-fenced`, `notes-cut` | the same with words and fences around it; without the end |
//! | `notes-again`, `notes-never` | words, and JSON once it was told that this is none; only words |
//! | `notes-plain` | `notes`, and 400 for a request with a schema of the answer |
//! | `embed` | embeddings; every other name answers these too, and chat with `embed` is plain |
//! | `crlf`, `bom`, `multi`, `nospace`, `split`, `glued`, `no-done`, `multibyte`, `comments` (`:N`) | plain, framed oddly: see [`Framing`] |
//! | a name of [`Refusal`](super::refusals::Refusal) | an HTTP error |
//! | a name of [`Break`] | an answer that goes wrong on its way |
//!
//! A fault's `:N` makes it fail for the first N requests of exactly this model string, which then gets plain answers; without it
//! the fault stays. `drip`, `gigantic` and `huge` use their number otherwise.

use super::refusals::{self, Refusal};

/// A model string, understood.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Script {
    pub(super) behaviour: Behaviour,
    /// The number behind the colon.
    pub(super) number: Option<u64>,
    /// Content chunks a second; as fast as possible without.
    pub(super) pace: Option<f64>,
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Behaviour {
    /// A whole answer of this kind, framed this way.
    Answers(Kind, Framing),
    /// An HTTP error.
    Refuses(&'static Refusal),
    /// An answer that goes wrong.
    Breaks(Break),
}

/// What a whole answer consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Echo,
    Numbered,
    Slow,
    Tools,
    Reasoning,
    Unknown,
    NoUsage,
    Image,
    Params,
    Notes(Notes),
}

/// How notes are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notes {
    Whole,
    Fenced,
    Cut,
    Again,
    Never,
    Plain,
}

/// How the events of a stream become bytes. Every one of them is valid; an answer that is not streamed knows only `Split`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// `data: {...}` and an empty line, one HTTP chunk and one write for each event.
    Usual,
    /// Lines that end in CR LF.
    CarriageReturns,
    /// A byte order mark first.
    ByteOrderMark,
    /// The JSON of an event over several `data:` lines.
    ManyLines,
    /// No space behind `data:`.
    NoSpace,
    /// Each byte an HTTP chunk and a write of its own.
    Split,
    /// The head and all events in one HTTP chunk and one write.
    Glued,
    /// The last chunk tells the finish reason, then the connection closes: no `[DONE]`, and no length or chunks in HTTP either.
    NoDone,
    /// Words of two to four bytes a character, each character cut by the end of an HTTP chunk and of a write.
    MultiByte,
    /// Comments, `event:`, `id:` and unknown lines within each event.
    Noisy,
    /// Comments, `id:` and `retry:` lines between the events, each with an empty line behind it. They make no event, but clients
    /// that take every empty line for the end of one stumble; OpenAI's own do.
    Comments,
}

/// How an answer goes wrong. Not streamed, half of the body stands for the first content chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Break {
    /// Status 200 with an error object as the whole body.
    ErrorInOk,
    /// Two content chunks, then an error event.
    ErrorInStream,
    /// An error as the first event.
    ErrorFirst,
    /// The connection is reset after three content chunks.
    Cut,
    /// The connection is reset before the first byte.
    CutFirst,
    /// The connection is reset behind the head.
    CutHead,
    /// The body ends cleanly, but in the middle of a line, after three content chunks.
    HalfLine,
    /// A data line that is not JSON after three content chunks, then the rest.
    Malformed,
    /// One byte in so many milliseconds (1), otherwise plain.
    Drip,
    /// Nothing, until the client leaves.
    Never,
    /// The head and two content chunks, then nothing until the client leaves.
    Stall,
    /// Status 200 and an HTML page.
    WrongType,
    /// Status 200 and no body.
    Empty,
    /// One event of so many mebibytes (1).
    Gigantic,
    /// A JSON body of so many mebibytes (1), not streamed.
    Huge,
}

const KINDS: &[(&str, Kind, Framing)] = &[
    ("plain", Kind::Plain, Framing::Usual),
    ("embed", Kind::Plain, Framing::Usual),
    ("echo", Kind::Echo, Framing::Usual),
    ("stream", Kind::Numbered, Framing::Usual),
    ("slow", Kind::Slow, Framing::Usual),
    ("tools", Kind::Tools, Framing::Usual),
    ("reasoning", Kind::Reasoning, Framing::Usual),
    ("unknown", Kind::Unknown, Framing::Noisy),
    ("no-usage", Kind::NoUsage, Framing::Usual),
    ("image", Kind::Image, Framing::Usual),
    ("params", Kind::Params, Framing::Usual),
    ("notes", Kind::Notes(Notes::Whole), Framing::Usual),
    ("notes-fenced", Kind::Notes(Notes::Fenced), Framing::Usual),
    ("notes-cut", Kind::Notes(Notes::Cut), Framing::Usual),
    ("notes-again", Kind::Notes(Notes::Again), Framing::Usual),
    ("notes-never", Kind::Notes(Notes::Never), Framing::Usual),
    ("notes-plain", Kind::Notes(Notes::Plain), Framing::Usual),
    ("crlf", Kind::Plain, Framing::CarriageReturns),
    ("bom", Kind::Plain, Framing::ByteOrderMark),
    ("multi", Kind::Plain, Framing::ManyLines),
    ("nospace", Kind::Plain, Framing::NoSpace),
    ("split", Kind::Plain, Framing::Split),
    ("glued", Kind::Plain, Framing::Glued),
    ("no-done", Kind::Plain, Framing::NoDone),
    ("multibyte", Kind::Plain, Framing::MultiByte),
    ("comments", Kind::Plain, Framing::Comments),
];

const BREAKS: &[(&str, Break)] = &[
    ("error-200", Break::ErrorInOk),
    ("error-stream", Break::ErrorInStream),
    ("error-first", Break::ErrorFirst),
    ("cut", Break::Cut),
    ("cut-first", Break::CutFirst),
    ("cut-head", Break::CutHead),
    ("half-line", Break::HalfLine),
    ("malformed", Break::Malformed),
    ("drip", Break::Drip),
    ("never", Break::Never),
    ("stall", Break::Stall),
    ("wrong-type", Break::WrongType),
    ("empty", Break::Empty),
    ("gigantic", Break::Gigantic),
    ("huge", Break::Huge),
];

impl Script {
    /// An answer without anything odd, of the usual number of words.
    pub(super) const PLAIN: Self =
        Self { behaviour: Behaviour::Answers(Kind::Plain, Framing::Usual), number: None, pace: None };

    /// Reads a model string; `None` where the name or a number is none that is known.
    pub(super) fn parse(model: &str) -> Option<Self> {
        let asked = model.split_once('#').map_or(model, |(asked, _unique)| asked);
        let (asked, pace) = match asked.split_once('@') {
            Some((asked, pace)) => (asked, Some(pace.parse::<f64>().ok().filter(|pace| *pace > 0.0)?)),
            None => (asked, None),
        };
        let (name, number) = match asked.split_once(':') {
            Some((name, number)) => (name, Some(number.parse::<u64>().ok()?)),
            None => (asked, None),
        };
        Some(Self { behaviour: Behaviour::named(name)?, number, pace })
    }

    /// Whether the fault is over once the model was asked for `before` times.
    pub(super) fn is_over(&self, before: u64) -> bool {
        let ends = match self.behaviour {
            Behaviour::Answers(..) => false,
            Behaviour::Refuses(_) => true,
            Behaviour::Breaks(broken) => !matches!(broken, Break::Drip | Break::Gigantic | Break::Huge),
        };
        ends && self.number.is_some_and(|times| before >= times)
    }
}

impl Behaviour {
    fn named(name: &str) -> Option<Self> {
        if let Some((_, kind, framing)) = KINDS.iter().find(|(known, ..)| *known == name) {
            return Some(Self::Answers(*kind, *framing));
        }
        if let Some((_, broken)) = BREAKS.iter().find(|(known, _)| *known == name) {
            return Some(Self::Breaks(*broken));
        }
        refusals::named(name).map(Self::Refuses)
    }

    /// The fault's name, `None` for a whole answer.
    pub(super) fn fault(self) -> Option<&'static str> {
        match self {
            Self::Answers(..) => None,
            Self::Refuses(refusal) => Some(refusal.name),
            Self::Breaks(broken) => BREAKS.iter().find(|(_, known)| *known == broken).map(|(name, _)| *name),
        }
    }
}

/// Every name of the grammar.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let kinds = KINDS.iter().map(|(name, ..)| *name);
    kinds.chain(BREAKS.iter().map(|(name, _)| *name)).chain(refusals::REFUSALS.iter().map(|refusal| refusal.name))
}
