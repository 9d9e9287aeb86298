//! Lexicon: what single words can be where facts are told.
//!
//! Owns: the classes of words, and the table from spelling to classes.
//! Never: holds names, or looks at neighbours.

use std::{
    collections::HashMap,
    ops::{BitOr, BitOrAssign},
    sync::LazyLock,
};

use super::Relation;

/// What a word can be; a word can be several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Class(u32);

impl Class {
    /// "really", "now": can stand between a subject and its verb, or before a subject.
    pub(super) const ADVERB: Class = Class(1);
    /// "nurse": says what a person does for a living.
    pub(super) const JOB: Class = Class(1 << 1);
    /// "hospital": people work there.
    pub(super) const WORKPLACE: Class = Class(1 << 2);
    /// "choir": people are members of it.
    pub(super) const CLUB: Class = Class(1 << 3);
    /// "car": people own it.
    pub(super) const OWNABLE: Class = Class(1 << 4);
    /// "French".
    pub(super) const LANGUAGE: Class = Class(1 << 5);
    /// "biology".
    pub(super) const SUBJECT: Class = Class(1 << 6);
    /// "vegan".
    pub(super) const DIET: Class = Class(1 << 7);
    /// Ends a phrase: prepositions, conjunctions, pronouns that open a clause.
    pub(super) const END: Class = Class(1 << 8);
    /// Says that a phrase is no name of a thing by itself: pronouns, determiners that point at something.
    pub(super) const POINTING: Class = Class(1 << 9);
    /// Can stand between "my" and "sister".
    pub(super) const KIN_ADJECTIVE: Class = Class(1 << 10);
    /// Opens a sentence that tells somebody to do something with words.
    pub(super) const ORDER: Class = Class(1 << 11);
    /// Everything behind it is only supposed.
    pub(super) const SUPPOSED: Class = Class(1 << 12);
    /// A subject can follow.
    pub(super) const BEFORE_SUBJECT: Class = Class(1 << 13);
    /// Praise or blame, of which no likes are made ("time", "way").
    pub(super) const VAGUE: Class = Class(1 << 14);
    /// "violin", "chess": people play it.
    pub(super) const PLAYED: Class = Class(1 << 16);
    /// "beach": liked with its article.
    pub(super) const SCENE: Class = Class(1 << 17);
    /// Makes what it stands in mean nothing outside of its text: "it", "there".
    pub(super) const ELSEWHERE: Class = Class(1 << 18);
    /// What is eaten or drunk by no name: "out", "breakfast".
    pub(super) const NO_FOOD: Class = Class(1 << 15);

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

/// The classes of a word in small letters.
pub(super) fn class(word: &str) -> Class {
    CLASSES.get(word).copied().unwrap_or_default()
}

static CLASSES: LazyLock<HashMap<&'static str, Class>> = LazyLock::new(|| {
    let mut classes: HashMap<&'static str, Class> = HashMap::new();
    for (class, words) in WORDS {
        for word in words.split_whitespace() {
            *classes.entry(word).or_default() |= *class;
        }
    }
    classes
});

/// The relation that a word for kin tells, and whether it speaks of several.
pub(super) fn kin(word: &str) -> Option<(Relation, bool)> {
    let one = |relation| Some((relation, false));
    let several = |relation| Some((relation, true));
    match word {
        "sister" | "brother" | "sibling" | "twin" | "stepsister" | "stepbrother" => one(Relation::Sibling),
        "sisters" | "brothers" | "siblings" => several(Relation::Sibling),
        "mom" | "mum" | "mother" | "dad" | "father" | "mama" | "papa" => one(Relation::Parent),
        "parents" => several(Relation::Parent),
        "son" | "daughter" | "child" | "stepson" | "stepdaughter" => one(Relation::Child),
        "sons" | "daughters" | "children" | "kids" => several(Relation::Child),
        "wife" | "husband" | "spouse" => one(Relation::Spouse),
        "girlfriend" | "boyfriend" | "partner" | "fiancé" | "fiancée" | "fiance" | "fiancee" => {
            one(Relation::Partner)
        }
        "friend" | "bestie" | "buddy" => one(Relation::Friend),
        "friends" | "buddies" => several(Relation::Friend),
        "colleague" | "coworker" | "co-worker" | "teammate" | "boss" => one(Relation::Colleague),
        "colleagues" | "coworkers" | "co-workers" | "teammates" => several(Relation::Colleague),
        "cousin" | "aunt" | "uncle" | "niece" | "nephew" | "grandma" | "grandpa" | "grandmother" | "grandfather"
        | "grandson" | "granddaughter" => one(Relation::Relative),
        "cousins" | "aunts" | "uncles" | "nieces" | "nephews" | "grandparents" | "grandkids" => {
            several(Relation::Relative)
        }
        "retriever" | "labrador" | "poodle" | "terrier" | "beagle" | "corgi" | "dachshund" | "dog" | "cat"
        | "puppy" | "kitten" | "pup" | "kitty" | "parrot" | "hamster" | "rabbit" | "bunny" | "horse" | "pony"
        | "turtle" | "tortoise" | "lizard" | "snake" | "goldfish" | "bird" | "pet" => one(Relation::Pet),
        "dogs" | "cats" | "puppies" | "kittens" | "pups" | "pets" | "parrots" | "rabbits" | "horses" | "birds" => {
            several(Relation::Pet)
        }
        _ => None,
    }
}

const WORDS: &[(Class, &str)] = &[
    (
        Class::ADVERB,
        "really also still just currently now always usually actually already recently truly totally absolutely both \
         all finally officially definitely originally mostly mainly primarily even kinda personally proudly happily \
         often simply genuinely honestly obviously certainly strictly completely fully deeply particularly especially \
         generally normally typically presently newly quite so very super fairly pretty too seriously soon then today \
         basically",
    ),
    (
        Class::JOB,
        "accountant actor actress administrator analyst architect artist attorney author baker barber barista \
         bartender biologist bookkeeper builder butcher carpenter cashier chef chemist cleaner clerk coach composer \
         consultant contractor cook counselor counsellor curator dancer dentist designer developer dietitian director \
         doctor driver economist editor electrician engineer entrepreneur farmer filmmaker firefighter florist \
         freelancer gardener geologist hairdresser illustrator instructor interpreter janitor journalist judge \
         landscaper lawyer lecturer librarian lifeguard linguist manager mathematician mechanic midwife musician \
         nanny novelist nurse nutritionist optician painter paralegal paramedic pediatrician pharmacist photographer \
         physician physicist physiotherapist pilot plumber postdoc principal producer professor programmer \
         psychiatrist psychologist psychotherapist radiologist realtor receptionist recruiter researcher scientist \
         screenwriter sculptor secretary server singer soldier solicitor statistician student supervisor surgeon \
         surveyor tailor teacher technician technologist therapist translator tutor vet veterinarian videographer \
         waiter waitress welder writer yogi executive strategist copywriter marketer salesperson officer policeman \
         policewoman intern apprentice trainee trader banker broker agent operator coordinator specialist assistant \
         ceo cto cfo founder co-founder owner retiree tester sysadmin animator blogger",
    ),
    (
        Class::WORKPLACE,
        "hospital school bank startup start-up company university college clinic restaurant bakery cafe café shop \
         store library museum firm agency factory hotel studio lab laboratory farm supermarket warehouse pharmacy \
         nonprofit kindergarten daycare salon brewery bookstore bookshop zoo shelter consultancy center centre \
         business boutique bistro foodbank",
    ),
    (
        Class::CLUB,
        "club group team band choir association society union league party council board committee orchestra gym \
         church guild fraternity sorority squad ensemble cooperative organization organisation community",
    ),
    (
        Class::OWNABLE,
        "retriever labrador poodle terrier beagle corgi dachshund dog dogs cat cats puppy puppies kitten kittens pup \
         pups parrot parrots hamster hamsters rabbit rabbits bunny horse horses pony turtle turtles tortoise snake \
         snakes lizard fish goldfish chickens bird birds pet pets car cars van truck bike bikes bicycle bicycles \
         motorcycle motorbike scooter boat caravan camper house apartment flat condo cottage cabin piano guitar \
         guitars violin cello drums keyboard ukulele laptop computer desktop tablet phone smartphone smartwatch \
         camera printer drone telescope convertible suv sedan minivan tesla",
    ),
    (
        Class::LANGUAGE,
        "english french german spanish italian portuguese dutch swedish norwegian danish finnish icelandic polish \
         czech slovak hungarian romanian bulgarian greek turkish arabic hebrew persian farsi urdu hindi bengali \
         punjabi tamil telugu thai vietnamese indonesian malay tagalog chinese mandarin cantonese japanese korean \
         russian ukrainian serbian croatian swahili amharic yoruba latin catalan welsh irish gaelic basque",
    ),
    (
        Class::SUBJECT,
        "accounting anthropology archaeology architecture art astronomy biochemistry biology botany business \
         chemistry communications counseling criminology dance design economics education engineering english film \
         finance geography geology history informatics journalism law linguistics literature management marketing \
         math mathematics maths mechanics medicine music neuroscience nursing nutrition pharmacy philosophy physics \
         politics programming psychology sociology statistics theology theatre theater tourism zoology science \
         sciences studies relations arts therapy ecology",
    ),
    (
        Class::DIET,
        "vegan vegetarian pescatarian flexitarian omnivore carnivore gluten-free dairy-free lactose-free keto halal \
         kosher paleo",
    ),
    (
        Class::END,
        "and or but so because cause since although though while which who whom whose that when where if unless until \
         till before after as than with without in on at for from to by about during over under into onto through \
         across around near like except instead plus i you he she they we it is are was were am will would can could \
         should may might must has have had do does did not n't then also too now again anymore lately today \
         currently yet already well either right lol haha named called working living based one next someday \
         full-time part-time doing these this there here ever once whenever wherever how what why thanks please yeah \
         yes no nowadays sometimes especially being 'm 're 've 'll 'd per via despite between against",
    ),
    (
        Class::POINTING,
        "i you he she it they we me him her them us my your his its our their this that these those the what how who \
         which where when why everything anything nothing something someone everyone anyone nobody somebody everybody \
         such so one ones all both each every any some more most much many another other others same a an to no not \
         there here being getting having doing seeing hearing",
    ),
    (
        Class::KIN_ADJECTIVE,
        "older younger big little best dear twin old oldest youngest eldest good close new sweet baby lovely romantic \
         dearest closest beloved beautiful amazing wonderful only middle",
    ),
    (
        Class::ORDER,
        "translate write rewrite rephrase correct proofread summarize summarise complete generate create draft \
         compose paraphrase explain respond reply answer describe act pretend roleplay imagine suppose consider \
         assume given tell say repeat continue edit improve convert classify analyze analyse parse fix extract \
         transcribe role-play example scenario story prompt",
    ),
    (
        Class::SUPPOSED,
        "if unless imagine imagining suppose supposing assuming pretend pretending hypothetically whether wonder \
         wondering dreamed dreamt dream e.g example instance someday",
    ),
    (
        Class::BEFORE_SUBJECT,
        "and but so because cause cuz cos since although though while then well yes yeah yep yup no nope oh hey hi \
         hello btw fyi plus anyway ok okay also now sorry thanks lately nowadays meanwhile however hm hmm wow guess \
         today currently originally luckily fortunately unfortunately sadly afterwards later first second nah true \
         agreed right exactly maybe perhaps remember remembering mentioned mention forgot know",
    ),
    (
        Class::VAGUE,
        "way ways idea ideas vibe vibes look looks feeling energy attitude spirit enthusiasm passion part parts bit \
         lot kind sort thing things stuff place spot time times moment moments reminder chance opportunity \
         perspective advice support plan plans style name names color colors colour colours design designs view views \
         picture pics photo photos pic painting's answer question point",
    ),
    (
        Class::PLAYED,
        "piano guitar violin cello viola drums flute clarinet saxophone trumpet trombone harp ukulele banjo bass \
         keyboard harmonica accordion oboe organ soccer football basketball tennis volleyball baseball softball golf \
         hockey badminton rugby cricket chess squash handball lacrosse poker bridge pickleball",
    ),
    (
        Class::SCENE,
        "beach ocean sea outdoors mountains snow rain water countryside woods forest city theater theatre cinema \
         winter summer autumn fall spring desert cold heat piano violin guitar beatles arts",
    ),
    (
        Class::ELSEWHERE,
        "you your it this that them him her us these those they he she we how what everyone something things stuff one \
         there here their his its",
    ),
    (
        Class::NO_FOOD,
        "out much breakfast lunch dinner well enough healthy anything everything it that this them more less at like \
         alone together here there in a an the my your too so and or but until before after often",
    ),
];
