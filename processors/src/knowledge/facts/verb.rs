//! Verbs: which of them tell a relation, and what stands between a subject and its verb.
//!
//! Owns: negation, modality and tense as the words before a verb tell them.
//! Never: looks behind the verb; what it says of its object is for the rules (see `rules`).

use super::{
    Modality,
    lexicon::{self, Class},
    token::{Shape, Token},
};

/// The most words between a subject and its verb.
const LONGEST_GROUP: usize = 10;

/// A verb that tells a relation, whatever its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Work,
    Volunteer,
    Play,
    Take,
    Open,
    Lose,
    Sign,
    Live,
    Move,
    Study,
    Major,
    Attend,
    Graduate,
    Join,
    Leave,
    Quit,
    Begin,
    Become,
    Turn,
    Go,
    Like,
    Dislike,
    Stand,
    Prefer,
    Consume,
    Stop,
    Have,
    Get,
    Sell,
    Drive,
    Use,
    Switch,
    Upgrade,
    Run,
    Code,
    Speak,
    Decide,
    Visit,
    Travel,
    Plan,
    Marry,
    Divorce,
    Come,
    Grow,
    Belong,
    Date,
    Follow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Base,
    Third,
    Past,
    Ing,
}

/// The verb of a word in small letters.
pub(super) fn verb(word: &str) -> Option<(Verb, Form)> {
    use Form::{Base, Ing, Past, Third};
    let found = match word {
        "work" | "teach" | "intern" => (Verb::Work, Base),
        "works" | "teaches" | "interns" => (Verb::Work, Third),
        "worked" | "taught" | "interned" => (Verb::Work, Past),
        "working" | "teaching" | "interning" => (Verb::Work, Ing),
        "volunteer" => (Verb::Volunteer, Base),
        "volunteers" => (Verb::Volunteer, Third),
        "volunteered" => (Verb::Volunteer, Past),
        "volunteering" => (Verb::Volunteer, Ing),
        "play" => (Verb::Play, Base),
        "plays" => (Verb::Play, Third),
        "played" => (Verb::Play, Past),
        "playing" => (Verb::Play, Ing),
        "take" => (Verb::Take, Base),
        "took" | "taken" => (Verb::Take, Past),
        "taking" => (Verb::Take, Ing),
        "open" | "launch" => (Verb::Open, Base),
        "opened" | "launched" => (Verb::Open, Past),
        "opening" | "launching" => (Verb::Open, Ing),
        "lost" => (Verb::Lose, Past),
        "signed" | "enrolled" => (Verb::Sign, Past),
        "live" | "reside" => (Verb::Live, Base),
        "lives" | "resides" => (Verb::Live, Third),
        "lived" | "resided" => (Verb::Live, Past),
        "living" | "residing" => (Verb::Live, Ing),
        "move" | "relocate" => (Verb::Move, Base),
        "moves" | "relocates" => (Verb::Move, Third),
        "moved" | "relocated" => (Verb::Move, Past),
        "moving" | "relocating" => (Verb::Move, Ing),
        "study" => (Verb::Study, Base),
        "studies" => (Verb::Study, Third),
        "studied" => (Verb::Study, Past),
        "studying" => (Verb::Study, Ing),
        "major" => (Verb::Major, Base),
        "majors" => (Verb::Major, Third),
        "majored" => (Verb::Major, Past),
        "majoring" => (Verb::Major, Ing),
        "attend" => (Verb::Attend, Base),
        "attends" => (Verb::Attend, Third),
        "attended" => (Verb::Attend, Past),
        "attending" => (Verb::Attend, Ing),
        "graduated" => (Verb::Graduate, Past),
        "join" => (Verb::Join, Base),
        "joins" => (Verb::Join, Third),
        "joined" => (Verb::Join, Past),
        "joining" => (Verb::Join, Ing),
        "leave" => (Verb::Leave, Base),
        "leaves" => (Verb::Leave, Third),
        "left" => (Verb::Leave, Past),
        "leaving" => (Verb::Leave, Ing),
        "resign" | "retire" => (Verb::Quit, Base),
        "resigned" | "retired" => (Verb::Quit, Past),
        "quitting" | "resigning" | "retiring" => (Verb::Quit, Ing),
        "quit" => (Verb::Quit, Past),
        "start" | "begin" => (Verb::Begin, Base),
        "starts" | "begins" => (Verb::Begin, Third),
        "started" | "began" => (Verb::Begin, Past),
        "starting" | "beginning" => (Verb::Begin, Ing),
        "become" => (Verb::Become, Base),
        "becomes" => (Verb::Become, Third),
        "became" => (Verb::Become, Past),
        "becoming" => (Verb::Become, Ing),
        "turn" => (Verb::Turn, Base),
        "turns" => (Verb::Turn, Third),
        "turned" => (Verb::Turn, Past),
        "turning" => (Verb::Turn, Ing),
        "go" => (Verb::Go, Base),
        "goes" => (Verb::Go, Third),
        "went" | "gone" => (Verb::Go, Past),
        "going" => (Verb::Go, Ing),
        "like" | "love" | "enjoy" | "adore" => (Verb::Like, Base),
        "likes" | "loves" | "enjoys" | "adores" => (Verb::Like, Third),
        "liked" | "loved" | "enjoyed" | "adored" => (Verb::Like, Past),
        "hate" | "dislike" | "detest" | "despise" => (Verb::Dislike, Base),
        "hates" | "dislikes" | "detests" | "despises" => (Verb::Dislike, Third),
        "hated" | "disliked" => (Verb::Dislike, Past),
        "stand" => (Verb::Stand, Base),
        "prefer" => (Verb::Prefer, Base),
        "prefers" => (Verb::Prefer, Third),
        "eat" | "drink" => (Verb::Consume, Base),
        "eats" | "drinks" => (Verb::Consume, Third),
        "eating" | "drinking" => (Verb::Consume, Ing),
        "stop" => (Verb::Stop, Base),
        "stopped" => (Verb::Stop, Past),
        "have" | "own" => (Verb::Have, Base),
        "has" | "owns" => (Verb::Have, Third),
        "had" | "owned" => (Verb::Have, Past),
        "get" | "buy" | "adopt" | "purchase" => (Verb::Get, Base),
        "gets" | "buys" | "adopts" => (Verb::Get, Third),
        "got" | "bought" | "adopted" | "purchased" | "gotten" => (Verb::Get, Past),
        "getting" | "buying" | "adopting" | "purchasing" => (Verb::Get, Ing),
        "sell" => (Verb::Sell, Base),
        "sold" => (Verb::Sell, Past),
        "selling" => (Verb::Sell, Ing),
        "drive" => (Verb::Drive, Base),
        "drives" => (Verb::Drive, Third),
        "use" => (Verb::Use, Base),
        "uses" => (Verb::Use, Third),
        "used" => (Verb::Use, Past),
        "using" => (Verb::Use, Ing),
        "switch" | "migrate" => (Verb::Switch, Base),
        "switched" | "migrated" => (Verb::Switch, Past),
        "switching" | "migrating" => (Verb::Switch, Ing),
        "upgrade" | "update" | "downgrade" | "bump" => (Verb::Upgrade, Base),
        "upgraded" | "updated" | "downgraded" | "bumped" => (Verb::Upgrade, Past),
        "upgrading" | "updating" | "downgrading" | "bumping" => (Verb::Upgrade, Ing),
        "run" => (Verb::Run, Base),
        "runs" => (Verb::Run, Third),
        "running" => (Verb::Run, Ing),
        "code" | "program" | "write" | "develop" => (Verb::Code, Base),
        "codes" | "programs" | "writes" | "develops" => (Verb::Code, Third),
        "coding" | "programming" | "developing" => (Verb::Code, Ing),
        "speak" => (Verb::Speak, Base),
        "speaks" => (Verb::Speak, Third),
        "decide" | "agree" | "choose" => (Verb::Decide, Base),
        "decided" | "agreed" | "chose" | "chosen" => (Verb::Decide, Past),
        "visit" => (Verb::Visit, Base),
        "visits" => (Verb::Visit, Third),
        "visited" => (Verb::Visit, Past),
        "visiting" => (Verb::Visit, Ing),
        "travel" | "fly" => (Verb::Travel, Base),
        "traveled" | "travelled" | "flew" => (Verb::Travel, Past),
        "traveling" | "travelling" | "flying" => (Verb::Travel, Ing),
        "planning" => (Verb::Plan, Ing),
        "planned" | "booked" => (Verb::Plan, Past),
        "marry" => (Verb::Marry, Base),
        "married" => (Verb::Marry, Past),
        "marrying" => (Verb::Marry, Ing),
        "divorced" => (Verb::Divorce, Past),
        "divorcing" => (Verb::Divorce, Ing),
        "come" => (Verb::Come, Base),
        "comes" => (Verb::Come, Third),
        "grew" => (Verb::Grow, Past),
        "belong" => (Verb::Belong, Base),
        "belongs" => (Verb::Belong, Third),
        "dating" => (Verb::Date, Ing),
        "follow" => (Verb::Follow, Base),
        "follows" => (Verb::Follow, Third),
        "following" => (Verb::Follow, Ing),
        _ => return None,
    };
    Some(found)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tense {
    Present,
    Past,
    Perfect,
}

/// What stands before a verb or a predicate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    pub(super) negated: bool,
    pub(super) modality: Modality,
    pub(super) tense: Tense,
    /// "used to": it is over.
    pub(super) over: bool,
    /// "can".
    pub(super) able: bool,
    /// A form of "be" stands before.
    pub(super) copula: bool,
    /// A helping verb or "to" stands before, so the verb stands in its base form.
    pub(super) helped: bool,
    /// "planning on", "stopped": the verb stands in its -ing form.
    pub(super) gerund: bool,
    /// "probably", "kinda".
    pub(super) hedged: bool,
    /// The verb or the predicate.
    pub(super) next: usize,
}

impl Group {
    /// What a verb stands under that follows at once.
    pub(super) const fn bare(next: usize) -> Group {
        Group {
            negated: false,
            modality: Modality::Asserted,
            tense: Tense::Present,
            over: false,
            able: false,
            copula: false,
            helped: false,
            gerund: false,
            hedged: false,
            next,
        }
    }
}

/// Reads what stands between a subject, which ends before `at`, and its verb. Nothing where it is only imagined.
pub(super) fn group(tokens: &[Token<'_>], at: usize, end: usize) -> Option<Group> {
    let mut group = Group::bare(at);
    let word = |at: usize| tokens[..end].get(at).map_or("", |token| token.word);
    let limit = end.min(at + LONGEST_GROUP);
    while group.next < limit {
        let at = group.next;
        let token = &tokens[at];
        if token.shape == Shape::Possessive {
            if has_participle(tokens, at + 1, end) {
                group.tense = Tense::Perfect;
            } else if group.copula {
                return None;
            } else {
                group.copula = true;
            }
            group.next += 1;
            continue;
        }
        if token.shape != Shape::Word {
            break;
        }
        let mut steps = 1;
        match token.word {
            "not" | "n't" | "never" => group.negated = true,
            "no" if word(at + 1) == "longer" => {
                group.negated = true;
                steps = 2;
            }
            "do" | "does" if helps(tokens, at + 1, end) => group.helped = true,
            "did" if helps(tokens, at + 1, end) => {
                group.helped = true;
                group.tense = Tense::Past;
            }
            "will" | "'ll" | "gonna" | "shall" => {
                group.helped = true;
                group.modality = Modality::Planned;
            }
            "might" | "may" => {
                group.helped = true;
                group.modality = Modality::Possible;
            }
            "maybe" | "probably" | "perhaps" | "possibly" | "likely" => group.modality = Modality::Possible,
            "would" | "'d" => {
                let skipped = usize::from(lexicon::class(word(at + 1)).is(Class::ADVERB));
                let liked = matches!(word(at + 1 + skipped), "love" | "like");
                if !liked || word(at + 2 + skipped) != "to" {
                    return None;
                }
                group.helped = true;
                group.modality = Modality::Wished;
                steps = 3 + skipped;
            }
            "wanna" => {
                group.helped = true;
                group.modality = Modality::Wished;
            }
            "want" | "wants" | "hope" | "hopes" | "hoping" | "wish" | "dream" | "aspire" | "wanting"
                if word(at + 1) == "to" =>
            {
                group.helped = true;
                group.copula = false;
                group.modality = Modality::Wished;
                steps = 2;
            }
            "plan" | "plans" | "planning" | "intend" | "intends" | "intending" | "going" | "about"
                if word(at + 1) == "to" && is_base(word(at + 2)) =>
            {
                group.helped = true;
                group.copula = false;
                group.modality = Modality::Planned;
                steps = 2;
            }
            "planning" | "plan" if word(at + 1) == "on" => {
                group.gerund = true;
                group.modality = Modality::Planned;
                steps = 2;
            }
            "thinking" if matches!(word(at + 1), "of" | "about") => {
                group.gerund = true;
                group.modality = Modality::Possible;
                steps = 2;
            }
            "considering" => {
                group.gerund = true;
                group.modality = Modality::Possible;
            }
            "am" | "are" | "is" | "'m" | "'re" | "be" | "been" => group.copula = true,
            "was" | "were" => {
                group.copula = true;
                group.tense = Tense::Past;
            }
            "have" | "has" | "'ve" | "had" if has_participle(tokens, at + 1, end) => {
                group.tense = if token.word == "had" { Tense::Past } else { Tense::Perfect };
            }
            "'ve" => break,
            "used" if word(at + 1) == "to" && !group.copula => {
                group.helped = true;
                group.over = true;
                group.tense = Tense::Past;
                steps = 2;
            }
            "can" => {
                group.helped = true;
                group.able = true;
            }
            "could" | "should" | "must" | "ought" | "wanted" | "hoped" | "hardly" | "barely" | "rarely" | "almost"
            | "nearly" => return None,
            "kinda" | "sometimes" | "guess" => group.hedged = true,
            word if lexicon::class(word).is(Class::ADVERB) => {}
            _ => break,
        }
        group.next += steps;
    }
    (group.next < end).then_some(group)
}

/// Whether a "do" helps another verb.
fn helps(tokens: &[Token<'_>], at: usize, end: usize) -> bool {
    tokens[..end].get(at).is_some_and(|token| {
        matches!(token.word, "not" | "n't")
            || lexicon::class(token.word).is(Class::ADVERB)
            || matches!(verb(token.word), Some((_, Form::Base)))
    })
}

fn is_base(word: &str) -> bool {
    matches!(verb(word), Some((_, Form::Base))) || lexicon::class(word).is(Class::ADVERB) || word == "be"
}

/// Whether a "have" helps another verb: a participle follows, with nothing but small words between.
fn has_participle(tokens: &[Token<'_>], at: usize, end: usize) -> bool {
    for token in tokens[..end].iter().skip(at).take(3) {
        if token.word == "been" || matches!(verb(token.word), Some((_, Form::Past))) || token.word == "become" {
            return true;
        }
        if !lexicon::class(token.word).is(Class::ADVERB) && !matches!(token.word, "not" | "n't" | "never") {
            return false;
        }
    }
    false
}
