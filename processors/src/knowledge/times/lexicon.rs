//! Lexicon: what single words mean where times are told.
//!
//! Owns: the classes of words and the table from spelling to class.
//! Never: looks at neighbours; that "may" is a verb here is for the grammar to see.

use std::{collections::HashMap, sync::LazyLock};

use super::Grain;

/// The class of a word, number or sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// A whole number in digits, and how many digits.
    Number(u32, u8),
    /// "7th", "seventh".
    Ordinal(u32),
    /// "90s", "1990s", "nineties", and how many digits.
    Decade(u32, u8),
    /// "two", "twenty".
    Cardinal(u32),
    /// "a", "an".
    Article,
    The,
    Couple,
    Few,
    Several,
    Half,
    /// 1 to 12, and whether the name is whole.
    Month(u8, bool),
    /// Days from Monday, and whether the name is whole.
    Weekday(u8, bool),
    Unit(Unit, Plural),
    Part(Part),
    Noon,
    Midnight,
    Season(Season),
    /// Many seasons: "summers".
    Seasons(Season),
    /// Many of a weekday: "Fridays".
    Weekdays(u8),
    /// "yesterday" -1, "today" 0, "tomorrow" 1.
    Day(i8),
    Tonight,
    Last,
    Past,
    Next,
    Coming,
    This,
    Earlier,
    Later,
    Early,
    Mid,
    Late,
    /// "beginning", "start".
    Beginning,
    Middle,
    End,
    Ago,
    Now,
    Other,
    Before,
    After,
    Since,
    Until,
    By,
    From,
    To,
    Between,
    And,
    In,
    On,
    At,
    Of,
    Within,
    /// "over", "during": prepositions that lead a period and mean no more.
    During,
    Around,
    /// "my", "his": ages are told with them, not decades.
    Possessor,
    Every,
    Meridiem(Meridiem),
    OClock,
    /// A word that alone names a holiday.
    Holiday,
    /// A word that begins the name of a holiday.
    HolidayLead,
    /// "people", "dollars": a number before it counts things.
    Measure,
    /// "tree", "camp": a holiday or a season before it says of which kind the thing is.
    Thing,
    /// A word that may follow "on the 5th".
    Function,
    /// "is", "be".
    Being,
    Tense(Tense),
    /// The "Q" of "Q3".
    QuarterLetter,
    /// The "'s" of a possessive.
    Possessive,
    /// An ASCII sign; typographic dashes, quotes and apostrophes are brought to ASCII, and other signs to zero.
    Sign(u8),
    LineBreak,
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plural {
    One,
    Many,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meridiem {
    Am,
    Pm,
}

/// What a verb says about where a time lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tense {
    Past,
    Future,
}

/// Units that are counted and pointed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Weekend,
    Week,
    Fortnight,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
}

impl Unit {
    pub(super) fn grain(self) -> Grain {
        match self {
            Unit::Second | Unit::Minute => Grain::Minute,
            Unit::Hour => Grain::Hour,
            Unit::Day => Grain::Day,
            Unit::Weekend => Grain::Weekend,
            Unit::Week | Unit::Fortnight => Grain::Week,
            Unit::Month => Grain::Month,
            Unit::Quarter => Grain::Quarter,
            Unit::Year => Grain::Year,
            Unit::Decade => Grain::Decade,
            Unit::Century => Grain::Century,
        }
    }
}

/// Parts of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Morning,
    Afternoon,
    Evening,
    /// From 18:00 to 05:00 of the next day.
    Night,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Season {
    Spring,
    Summer,
    Autumn,
    Winter,
}

impl Word {
    pub(super) fn is_weekday(self) -> bool {
        matches!(self, Word::Weekday(..))
    }

    /// Whether the word can be the heart of a time expression. A text without such a word has none.
    pub(super) fn can_tell_time(self) -> bool {
        matches!(
            self,
            Word::Number(..)
                | Word::Ordinal(_)
                | Word::Decade(..)
                | Word::Month(..)
                | Word::Weekday(..)
                | Word::Weekdays(_)
                | Word::Unit(..)
                | Word::Part(_)
                | Word::Noon
                | Word::Midnight
                | Word::Season(_)
                | Word::Seasons(_)
                | Word::Day(_)
                | Word::Tonight
                | Word::OClock
                | Word::Holiday
                | Word::Half
        )
    }
}

/// The longest spelling in the table, in bytes.
pub(super) const LONGEST: usize = 14;

/// The class of a word in lower case.
pub(super) fn word(lower: &str) -> Word {
    WORDS
        .get(lower)
        .copied()
        .unwrap_or_else(|| if is_past_form(lower) { Word::Tense(Tense::Past) } else { Word::Unknown })
}

/// Regular past forms; adjectives that look the same say nothing about when.
fn is_past_form(lower: &str) -> bool {
    lower.len() > 4 && lower.ends_with("ed") && !lower.ends_with("eed")
}

static WORDS: LazyLock<HashMap<&'static str, Word>> = LazyLock::new(|| {
    let mut words: HashMap<&'static str, Word> = CLASSES
        .iter()
        .flat_map(|(word, spellings)| spellings.split_ascii_whitespace().map(move |spelling| (spelling, *word)))
        .collect();
    for (lists, word) in NUMBERED {
        words.extend(lists.split_ascii_whitespace().zip(0..).flat_map(|(spellings, number)| {
            spellings.split('/').map(move |spelling| (spelling, word(number, spelling)))
        }));
    }
    words
});

type Numbered = fn(u8, &str) -> Word;

/// Lists whose place is the number; spellings of one number are parted by a slash.
const NUMBERED: [(&str, Numbered); 8] = [
    (
        "january/jan february/feb march/mar april/apr may june/jun july/jul august/aug september/sep/sept october/oct \
         november/nov december/dec",
        |number, spelling| Word::Month(number + 1, spelling.len() > 4 || matches!(spelling, "june" | "july" | "may")),
    ),
    (
        "monday/mon tuesday/tue/tues wednesday/wed/weds thursday/thu/thur/thurs friday/fri saturday/sat sunday/sun",
        |number, spelling| Word::Weekday(number, spelling.len() > 5),
    ),
    ("mondays tuesdays wednesdays thursdays fridays saturdays sundays", |number, _| Word::Weekdays(number)),
    (
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen \
         seventeen eighteen nineteen twenty",
        |number, _| Word::Cardinal(number.into()),
    ),
    ("ten twenty thirty forty fifty sixty seventy eighty ninety hundred", |number, _| {
        Word::Cardinal(10 * (u32::from(number) + 1))
    }),
    (
        "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth \
         fifteenth sixteenth seventeenth eighteenth nineteenth twentieth",
        |number, _| Word::Ordinal(u32::from(number) + 1),
    ),
    ("twenties thirties forties fifties sixties seventies eighties nineties", |number, _| {
        Word::Decade(10 * (u32::from(number) + 2), 2)
    }),
    ("yesterday today tomorrow/tmrw/tmr", |number, _| {
        Word::Day(match number {
            0 => -1,
            1 => 0,
            _ => 1,
        })
    }),
];

const CLASSES: &[(Word, &str)] = &[
    (Word::Article, "a an"),
    (Word::The, "the"),
    (Word::Couple, "couple"),
    (Word::Few, "few"),
    (Word::Several, "several"),
    (Word::Half, "half"),
    (Word::Cardinal(12), "dozen"),
    (Word::Unit(Unit::Second, Plural::Many), "seconds secs"),
    (Word::Unit(Unit::Minute, Plural::One), "minute min"),
    (Word::Unit(Unit::Minute, Plural::Many), "minutes mins"),
    (Word::Unit(Unit::Hour, Plural::One), "hour hr"),
    (Word::Unit(Unit::Hour, Plural::Many), "hours hrs"),
    (Word::Unit(Unit::Day, Plural::One), "day"),
    (Word::Unit(Unit::Day, Plural::Many), "days"),
    (Word::Unit(Unit::Weekend, Plural::One), "weekend"),
    (Word::Unit(Unit::Weekend, Plural::Many), "weekends"),
    (Word::Unit(Unit::Week, Plural::One), "week wk"),
    (Word::Unit(Unit::Week, Plural::Many), "weeks wks"),
    (Word::Unit(Unit::Fortnight, Plural::One), "fortnight"),
    (Word::Unit(Unit::Fortnight, Plural::Many), "fortnights"),
    (Word::Unit(Unit::Month, Plural::One), "month"),
    (Word::Unit(Unit::Month, Plural::Many), "months"),
    (Word::Unit(Unit::Quarter, Plural::One), "quarter"),
    (Word::Unit(Unit::Quarter, Plural::Many), "quarters"),
    (Word::Unit(Unit::Year, Plural::One), "year yr"),
    (Word::Unit(Unit::Year, Plural::Many), "years yrs"),
    (Word::Unit(Unit::Decade, Plural::One), "decade"),
    (Word::Unit(Unit::Decade, Plural::Many), "decades"),
    (Word::Unit(Unit::Century, Plural::One), "century"),
    (Word::Unit(Unit::Century, Plural::Many), "centuries"),
    (Word::Part(Part::Morning), "morning"),
    (Word::Part(Part::Afternoon), "afternoon"),
    (Word::Part(Part::Evening), "evening"),
    (Word::Part(Part::Night), "night nights"),
    (Word::Noon, "noon midday"),
    (Word::Midnight, "midnight"),
    (Word::Season(Season::Spring), "spring"),
    (Word::Season(Season::Summer), "summer"),
    (Word::Season(Season::Autumn), "autumn fall"),
    (Word::Season(Season::Winter), "winter"),
    (Word::Seasons(Season::Spring), "springs"),
    (Word::Seasons(Season::Summer), "summers"),
    (Word::Seasons(Season::Winter), "winters"),
    (Word::Tonight, "tonight tonite"),
    (Word::Last, "last previous"),
    (Word::Past, "past"),
    (Word::Next, "next"),
    (Word::Coming, "coming upcoming"),
    (Word::This, "this"),
    (Word::Earlier, "earlier"),
    (Word::Later, "later"),
    (Word::Early, "early"),
    (Word::Mid, "mid"),
    (Word::Late, "late"),
    (Word::Beginning, "beginning start"),
    (Word::Middle, "middle"),
    (Word::End, "end"),
    (Word::Ago, "ago"),
    (Word::Now, "now"),
    (Word::Other, "other"),
    (Word::Before, "before"),
    (Word::After, "after"),
    (Word::Since, "since"),
    (Word::Until, "until till til"),
    (Word::By, "by"),
    (Word::From, "from"),
    (Word::To, "to through thru"),
    (Word::Between, "between"),
    (Word::And, "and"),
    (Word::In, "in"),
    (Word::On, "on"),
    (Word::At, "at"),
    (Word::Of, "of"),
    (Word::Within, "within"),
    (Word::During, "during over throughout for"),
    (Word::Around, "around about circa almost nearly"),
    (Word::Possessor, "my your his her their our its"),
    (Word::Every, "every each"),
    (Word::Meridiem(Meridiem::Am), "am"),
    (Word::Meridiem(Meridiem::Pm), "pm"),
    (Word::OClock, "o'clock oclock"),
    (Word::QuarterLetter, "q"),
    (Word::Holiday, "christmas xmas thanksgiving halloween easter juneteenth"),
    (
        Word::HolidayLead,
        "new boxing valentine valentines good independence labor labour memorial mother mothers father fathers st \
         saint black cyber veterans presidents",
    ),
    (
        Word::Measure,
        "people persons words dollars euros pounds bucks steps meters metres miles km kilometers kilometres feet lines \
         pages votes users tokens points items times calories kcal ml mg grams kg bytes mb gb rows percent pieces \
         copies cases units students men women kids children guests entries messages files",
    ),
    (
        Word::Thing,
        "tree trees light lights card cards carol carols present presents gift gifts song songs movie movies cookies \
         decoration decorations ornament ornaments sweater jumper spirit costume costumes candy egg eggs bunny turkey \
         camp camps school house job jobs clothes dress sale roll rolls water cleaning vibes island lilies best roast",
    ),
    (
        Word::Function,
        "or we i you he she they it so but with if because when where who which that as then there here \
         too also instead please right yet not no",
    ),
    (Word::Being, "be is are being"),
    (
        Word::Tense(Tense::Past),
        "was were wasn't weren't did didn't had hadn't been went saw met got came took made said told bought ate drank \
         gave found left lost won felt thought knew heard began ran wrote spent brought kept held taught fought drove \
         flew grew sang slept spoke broke chose fell built sent sold paid caught wore woke became forgot gone seen \
         stood rode swam threw hit quit understood",
    ),
    (
        Word::Tense(Tense::Future),
        "will won't shall gonna going let lets plan plans planning hope hopes hoping should must might gotta wanna \
         soon remind wait forward",
    ),
    // Words in -ed that are no past forms, or say nothing about when.
    (
        Word::Unknown,
        "excited interested tired scheduled supposed worried stressed relaxed booked hundred naked wicked sacred \
         motivated determined married limited united red bored inspired invited planned \
         rescheduled required extended expected postponed delayed needed based allocated assigned estimated proposed",
    ),
];
