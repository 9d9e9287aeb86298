//! How well resolved times answer the "when" questions of LoCoMo, and how fast they are resolved.
//!
//! Takes the folder with `conversations.jsonl` and `questions.json` (Maharana et al., ACL 2024, CC BY-NC 4.0: for
//! evaluation only). Prints figures; with `--list` also the answers that no resolved time fits, for reading them.
//!
//! Of the questions about time (category 2), those count whose answer the resolver reads as a period, a relative one
//! ("10 years ago") from the time of the evidence. A question is met when a time in one of its evidence turns fits:
//! - equal: it is the very period of the answer;
//! - contains: it holds the answer's period, and its grain is the answer's or the next coarser one; a part of a day or
//!   a time that begins on the answer's day is that day;
//! - within: the answer is a month or longer, and the time lies in it ("yesterday" for "June 2023");
//! - week: the answer is "the week before" a day, as LoCoMo writes "last week", and the time is the last calendar week
//!   that is over on that day. (The resolver reads the answer as the seven days up to it.)

use std::{collections::HashMap, env, error::Error, fs, path::Path, process::ExitCode, time::Instant};

use meshlog_processors::knowledge::times::{Anchor, Grain, TimeMention, times_in};
use serde::Deserialize;
use time::{Duration, OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

#[derive(Deserialize)]
struct Turn {
    id: String,
    sent_at: String,
    text: String,
}

#[derive(Deserialize)]
struct Question {
    category: u8,
    #[serde(default)]
    answer: serde_json::Value,
    evidence: Vec<String>,
}

/// In microseconds.
const WEEK: i64 = 7 * 86_400_000_000;

/// How a resolved time answers a question, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Equal,
    Contains,
    Within,
    Week,
}

#[derive(Debug, Default)]
struct Tally {
    time_questions: usize,
    with_period: usize,
    /// Questions whose evidence holds any time expression.
    told: usize,
    fits: [usize; 4],
    /// Unmet questions whose answer holds the day of the message.
    own_day: usize,
    /// Questions whose answer does not hold the day of the message, and how many of them are met.
    elsewhere: usize,
    elsewhere_met: usize,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}; usage: times_locomo <data folder> [--list]");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).ok_or("no data folder")?;
    let list = env::args().any(|argument| argument == "--list");
    let turns = turns(Path::new(&folder))?;
    let questions: Vec<Question> =
        serde_json::from_str(&fs::read_to_string(Path::new(&folder).join("questions.json"))?)?;
    let by_id: HashMap<&str, &(Turn, Anchor)> = turns.iter().map(|turn| (turn.0.id.as_str(), turn)).collect();
    let mut tally = Tally::default();
    for question in questions.iter().filter(|question| question.category == 2) {
        let evidence: Vec<&(Turn, Anchor)> =
            question.evidence.iter().filter_map(|id| by_id.get(id.as_str()).copied()).collect();
        tally.count(question, &evidence, list);
    }
    tally.print();
    print_speed(&turns);
    Ok(())
}

fn turns(folder: &Path) -> Result<Vec<(Turn, Anchor)>, Box<dyn Error>> {
    let lines = fs::read_to_string(folder.join("conversations.jsonl"))?;
    lines
        .lines()
        .map(|line| {
            let turn: Turn = serde_json::from_str(line)?;
            let at = OffsetDateTime::parse(&turn.sent_at, &Rfc3339)?;
            let anchor = Anchor::new(i64::try_from(at.unix_timestamp_nanos() / 1_000)?, at.offset());
            Ok((turn, anchor))
        })
        .collect()
}

impl Tally {
    fn count(&mut self, question: &Question, evidence: &[&(Turn, Anchor)], list: bool) {
        self.time_questions += 1;
        let answer = question.answer.as_str().map_or_else(|| question.answer.to_string(), str::to_owned);
        let Some((_, anchor)) = evidence.first() else { return };
        let Some(gold) = times_in(&answer, anchor).into_iter().next() else { return };
        self.with_period += 1;
        let found: Vec<TimeMention> = evidence.iter().flat_map(|(turn, anchor)| times_in(&turn.text, anchor)).collect();
        self.told += usize::from(!found.is_empty());
        let week_written = answer.to_lowercase().contains("week before");
        let best = found.iter().filter_map(|time| fit(time, &gold, week_written)).min();
        let holds_own_day = (gold.start..gold.end).contains(&anchor.at);
        self.elsewhere += usize::from(!holds_own_day);
        match best {
            Some(fit) => {
                self.fits[fit as usize] += 1;
                self.elsewhere_met += usize::from(!holds_own_day);
            }
            None => {
                self.own_day += usize::from(holds_own_day);
                if list {
                    let times: Vec<String> = found.iter().map(|time| shown(time, anchor.offset)).collect();
                    println!(
                        "{} {answer:?} read as {}, told {times:?}",
                        question.evidence[0],
                        shown(&gold, anchor.offset)
                    );
                }
            }
        }
    }

    fn print(&self) {
        let [equal, contains, within, week] = self.fits;
        let strict = equal + contains;
        let met = strict + within + week;
        println!("{} questions about time, {} with a period as their answer", self.time_questions, self.with_period);
        println!("fits: {equal} equal, {contains} contains, {within} within, {week} week");
        let share = |count: usize, of: usize| format!("{count} of {of} ({:.3})", count as f64 / of.max(1) as f64);
        println!("equal or contains, all answers:           {}", share(strict, self.with_period));
        println!("equal or contains, evidence with a time:  {}", share(strict, self.told));
        println!("any fit, all answers:                     {}", share(met, self.with_period));
        println!("any fit, evidence with a time:            {}", share(met, self.told));
        println!("any fit, answer not around the message:   {}", share(self.elsewhere_met, self.elsewhere));
        println!("any fit, or the message's own day:        {}", share(met + self.own_day, self.with_period));
    }
}

fn fit(time: &TimeMention, gold: &TimeMention, week_written: bool) -> Option<Fit> {
    if (time.start, time.end) == (gold.start, gold.end) {
        return Some(Fit::Equal);
    }
    let begins_within = (gold.start..gold.end).contains(&time.start);
    let holds = time.start <= gold.start && gold.end <= time.end;
    let is_next = rank(time.grain) <= rank(gold.grain) + 1;
    if holds && is_next || gold.grain == Grain::Day && time.grain < Grain::Day && begins_within {
        return Some(Fit::Contains);
    }
    if gold.grain >= Grain::Month && begins_within && time.end <= gold.end {
        return Some(Fit::Within);
    }
    let is_last_week = time.end - time.start == WEEK && (0..WEEK).contains(&(gold.end - time.end));
    (week_written && gold.grain == Grain::Week && time.grain == Grain::Week && is_last_week).then_some(Fit::Week)
}

/// Grains as steps: what is told with equal care is on one step.
fn rank(grain: Grain) -> u8 {
    match grain {
        Grain::Minute | Grain::Hour | Grain::DayPart => 0,
        Grain::Day => 1,
        Grain::Weekend => 2,
        Grain::Week => 3,
        Grain::Month => 4,
        Grain::Quarter | Grain::Season => 5,
        Grain::Year => 6,
        Grain::Decade => 7,
        Grain::Century => 8,
    }
}

fn shown(time: &TimeMention, offset: UtcOffset) -> String {
    let date = |micros: i64| {
        let at = OffsetDateTime::UNIX_EPOCH.checked_add(Duration::microseconds(micros));
        at.map_or_else(String::new, |at| at.to_offset(offset).date().to_string())
    };
    format!("{}..{} {:?}", date(time.start), date(time.end), time.grain)
}

/// Reads the turns again and again for a second.
fn print_speed(turns: &[(Turn, Anchor)]) {
    let words: usize = turns.iter().map(|(turn, _)| turn.text.split_whitespace().count()).sum();
    let (mut messages, mut mentions, start) = (0usize, 0usize, Instant::now());
    while start.elapsed().as_secs_f64() < 1.0 {
        mentions += turns.iter().map(|(turn, anchor)| times_in(&turn.text, anchor).len()).sum::<usize>();
        messages += turns.len();
    }
    let rate = messages as f64 / start.elapsed().as_secs_f64();
    let (average, told) = (words as f64 / turns.len().max(1) as f64, mentions as f64 / messages.max(1) as f64);
    println!("{rate:.0} messages a second, {average:.1} words and {told:.2} times each");
}
