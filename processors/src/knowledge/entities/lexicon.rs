//! Lexicon: what single words mean where names stand.
//!
//! Owns: the classes of words, and the table from spelling to classes.
//! Never: holds names (see `gazetteer`) or looks at neighbours.

use std::{
    collections::HashMap,
    ops::{BitOr, BitOrAssign},
    sync::LazyLock,
};

/// What a word can be; a word can be several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Class(u32);

impl Class {
    /// An ordinary word that is capitalised only by its place, or generic in a name ("National").
    pub(super) const COMMON: Class = Class(1);
    /// "Mr".
    pub(super) const TITLE: Class = Class(1 << 1);
    /// "sister", "friend", "dog".
    pub(super) const KIN: Class = Class(1 << 2);
    /// "my", "his".
    pub(super) const POSSESSOR: Class = Class(1 << 3);
    /// "the", "this".
    pub(super) const DETERMINER: Class = Class(1 << 4);
    /// Ends the name of an organisation and nothing else ("Ltd", "University").
    pub(super) const ORGANISATION: Class = Class(1 << 5);
    /// Ends the name of an organisation, and many other things ("Group").
    pub(super) const PERHAPS_ORGANISATION: Class = Class(1 << 6);
    /// Leads "X of Y" that is an organisation ("University").
    pub(super) const HEAD: Class = Class(1 << 7);
    /// Ends the name of a place ("Street").
    pub(super) const PLACE: Class = Class(1 << 8);
    /// Leads the name of a place ("Lake").
    pub(super) const PLACE_LEAD: Class = Class(1 << 9);
    /// Names of months, weekdays, seasons and feasts.
    pub(super) const CALENDAR: Class = Class(1 << 10);
    /// What people do and others do not ("said").
    pub(super) const HUMAN_VERB: Class = Class(1 << 11);
    /// "works", before "at".
    pub(super) const EMPLOYED: Class = Class(1 << 12);
    /// "joined": an organisation can follow at once.
    pub(super) const JOINED: Class = Class(1 << 13);
    /// "live", "moved", before "in" or "to".
    pub(super) const DWELLS: Class = Class(1 << 14);
    /// "visit": a place can follow at once.
    pub(super) const VISITS: Class = Class(1 << 15);
    /// "in", "to", "from", "near".
    pub(super) const WHERE: Class = Class(1 << 16);
    /// "at", "for", "with": before an employer.
    pub(super) const AT: Class = Class(1 << 17);
    /// "book", "watched": a quoted title is near.
    pub(super) const WORK: Class = Class(1 << 18);
    /// "two", "twenty", "half".
    pub(super) const NUMBER: Class = Class(1 << 19);
    /// "kg", "miles"; told in figures or words.
    pub(super) const UNIT: Class = Class(1 << 20);
    /// "ms", "px": a unit only after figures.
    pub(super) const SIGN_UNIT: Class = Class(1 << 21);
    /// "million", "k".
    pub(super) const SCALE: Class = Class(1 << 22);
    /// "called", "named".
    pub(super) const CALLED: Class = Class(1 << 23);
    /// "guy", "girl": a person, if called by a name.
    pub(super) const BEING: Class = Class(1 << 24);
    /// "company", "startup".
    pub(super) const FIRM: Class = Class(1 << 25);
    /// "app", "tool".
    pub(super) const THING: Class = Class(1 << 26);
    /// "hey", "thanks": a person spoken to can follow.
    pub(super) const GREETING: Class = Class(1 << 27);
    /// "version", "class": what a number or an identifier belongs to.
    pub(super) const CODE_WORD: Class = Class(1 << 28);
    /// "of", "and", "de": may stand inside a name.
    pub(super) const JOINT: Class = Class(1 << 29);

    /// Whether it is one of these.
    pub(super) const fn is(self, other: Class) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Class {
    type Output = Class;

    fn bitor(self, other: Class) -> Class {
        Class(self.0 | other.0)
    }
}

impl BitOrAssign for Class {
    fn bitor_assign(&mut self, other: Class) {
        self.0 |= other.0;
    }
}

/// The longest word that has a class, in bytes.
const LONGEST: usize = 20;

/// The classes of a word, whatever its case.
pub(super) fn class(word: &str) -> Class {
    let mut lower = [0; LONGEST];
    let Some(lower) = lower.get_mut(..word.len()) else { return Class::default() };
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    std::str::from_utf8(lower).ok().and_then(|lower| CLASSES.get(lower)).copied().unwrap_or_default()
}

static CLASSES: LazyLock<HashMap<&'static str, Class>> = LazyLock::new(|| {
    let mut classes: HashMap<&str, Class> = HashMap::new();
    for (class, words) in LISTS {
        for word in words.split_ascii_whitespace() {
            *classes.entry(word).or_default() |= *class;
        }
    }
    classes
});

const LISTS: &[(Class, &str)] = &[
    (Class::COMMON, include_str!("common.txt")),
    (Class::TITLE, "mr mrs ms miss dr prof professor doctor sir madam uncle aunt auntie captain judge senator"),
    (
        Class::KIN,
        "sister brother mother father mom dad mum wife husband son daughter cousin niece nephew uncle aunt grandma \
         grandpa grandmother grandfather friend buddy partner boyfriend girlfriend fiance roommate flatmate neighbour \
         neighbor colleague coworker boss manager mentor coach therapist teacher lawyer dog cat puppy kitten parrot \
         horse bunny hamster kid baby twin ex",
    ),
    (Class::POSSESSOR, "my his her our their your"),
    (Class::DETERMINER, "the a an this that these those every each some any no another"),
    (
        Class::ORGANISATION,
        "inc ltd llc corp corporation gmbh plc foundation university college institute hospital clinic airlines \
         museum orchestra bank academy ministry labs",
    ),
    (
        Class::PERHAPS_ORGANISATION,
        "school association society agency church gallery theatre theater library studio studios lab group partners \
         consulting solutions technologies software industries council union club center centre company alliance \
         federation bakery cafe restaurant productions publishing pictures press",
    ),
    (Class::HEAD, "university institute bank ministry college school department museum academy church"),
    (
        Class::PLACE,
        "street avenue ave road boulevard blvd square park river lake beach island islands mountain mountains valley \
         bay airport bridge forest canyon falls creek harbor harbour county province peninsula desert",
    ),
    (Class::PLACE_LEAD, "lake mount mt cape"),
    (
        Class::CALENDAR,
        "january february march april may june july august september october november december monday tuesday \
         wednesday thursday friday saturday sunday spring summer autumn fall winter christmas easter thanksgiving \
         halloween jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thurs fri sat sun",
    ),
    (
        Class::HUMAN_VERB,
        "said says told asked wants wanted thinks thought texted knows knew loves loved likes liked hates hated sent \
         gave went came lives lived works worked replied agreed suggested mentioned recommended married laughed cried \
         emailed phoned invited promised",
    ),
    (
        Class::EMPLOYED,
        "work works worked working intern interned interning job position role internship employed study studies \
         studied studying teach teaches taught volunteer volunteers volunteered engineer developer",
    ),
    (Class::JOINED, "joined joining"),
    (
        Class::DWELLS,
        "live lives lived living move moves moved moving born up based travel travels traveled travelled traveling \
         travelling trip flew fly flying flight drove driving vacation holiday stayed arrived relocated settled \
         raised hometown",
    ),
    (Class::VISITS, "visit visits visited visiting"),
    (Class::WHERE, "in to from near through across"),
    (Class::AT, "at for with"),
    (
        Class::WORK,
        "book books novel novels film films movie movies song songs album series show episode game reading read \
         watched watching listening play poem memoir podcast documentary titled",
    ),
    (
        Class::NUMBER,
        "one two three four five six seven eight nine ten eleven twelve fifteen twenty thirty forty fifty sixty \
         seventy eighty ninety hundred thousand",
    ),
    (
        Class::UNIT,
        "kg kgs kilo kilos kilogram kilograms gram grams mg lb lbs pound pounds oz ounce ounces ton tons tonne tonnes \
         km kms kilometer kilometers kilometre kilometres mile miles meter meters metre metres cm centimeters mm ft \
         inch inches yards acres hectares liter liters litre litres gallon gallons kcal calories mph kwh watts volts \
         percent euro euros dollar dollars bucks cents usd eur gbp inr cad aud chf rupees yen",
    ),
    (
        Class::SIGN_UNIT,
        "g ml gb mb kb tb gib mib bytes ms px hz khz mhz ghz kw degrees feet cups cup tbsp tsp fps rpm dpi kbps mbps \
         gbps yd pixels milliseconds",
    ),
    (Class::SCALE, "k m bn million billion trillion thousand"),
    (Class::CALLED, "called named"),
    (Class::BEING, "guy man woman girl boy kid dog cat puppy kitten baby son daughter friend lady someone artist"),
    (Class::FIRM, "company startup firm employer charity nonprofit agency"),
    (Class::THING, "app tool software program game book film movie song album series show band novel library"),
    (Class::GREETING, "hey hi hello thanks thank dear bye congrats morning afternoon night evening yes no sorry love"),
    (Class::CODE_WORD, "version release section chapter step figure table phase class struct trait enum interface"),
    (Class::JOINT, "of and the for de la del von van der den di da & bin al"),
];
