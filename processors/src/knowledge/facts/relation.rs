//! Relations: the closed set of what a fact can say.
//!
//! Owns: their names, which hold of one object at a time, and which two objects cannot both hold.
//! Never: is extended by data; a new relation is a change of the program.

/// What is said of a subject. The table in the parent module's doc explains each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the table in the parent module's doc explains each with an example")]
pub enum Relation {
    WorksAt,
    WorksAs,
    LivesIn,
    From,
    Studies,
    StudiesAt,
    VolunteersAt,
    Plays,
    Diet,
    Eats,
    AllergicTo,
    Likes,
    Dislikes,
    Prefers,
    Owns,
    Pet,
    Uses,
    Version,
    Name,
    Birthday,
    Age,
    Contact,
    Speaks,
    Spouse,
    Partner,
    Parent,
    Child,
    Sibling,
    Relative,
    Friend,
    Colleague,
    MemberOf,
    Decided,
    Deadline,
    Visits,
}

/// Ways to eat of which one excludes the others.
const WHOLE_DIETS: [&str; 6] = ["vegan", "vegetarian", "pescatarian", "flexitarian", "omnivore", "carnivore"];

impl Relation {
    /// All relations, in the order of the table.
    pub const ALL: [Relation; 35] = [
        Relation::WorksAt,
        Relation::WorksAs,
        Relation::LivesIn,
        Relation::From,
        Relation::Studies,
        Relation::StudiesAt,
        Relation::VolunteersAt,
        Relation::Plays,
        Relation::Diet,
        Relation::Eats,
        Relation::AllergicTo,
        Relation::Likes,
        Relation::Dislikes,
        Relation::Prefers,
        Relation::Owns,
        Relation::Pet,
        Relation::Uses,
        Relation::Version,
        Relation::Name,
        Relation::Birthday,
        Relation::Age,
        Relation::Contact,
        Relation::Speaks,
        Relation::Spouse,
        Relation::Partner,
        Relation::Parent,
        Relation::Child,
        Relation::Sibling,
        Relation::Relative,
        Relation::Friend,
        Relation::Colleague,
        Relation::MemberOf,
        Relation::Decided,
        Relation::Deadline,
        Relation::Visits,
    ];

    /// The name in events and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Relation::WorksAt => "works-at",
            Relation::WorksAs => "works-as",
            Relation::LivesIn => "lives-in",
            Relation::From => "from",
            Relation::Studies => "studies",
            Relation::StudiesAt => "studies-at",
            Relation::VolunteersAt => "volunteers-at",
            Relation::Plays => "plays",
            Relation::Diet => "diet",
            Relation::Eats => "eats",
            Relation::AllergicTo => "allergic-to",
            Relation::Likes => "likes",
            Relation::Dislikes => "dislikes",
            Relation::Prefers => "prefers",
            Relation::Owns => "owns",
            Relation::Pet => "pet",
            Relation::Uses => "uses",
            Relation::Version => "version",
            Relation::Name => "name",
            Relation::Birthday => "birthday",
            Relation::Age => "age",
            Relation::Contact => "contact",
            Relation::Speaks => "speaks",
            Relation::Spouse => "spouse",
            Relation::Partner => "partner",
            Relation::Parent => "parent",
            Relation::Child => "child",
            Relation::Sibling => "sibling",
            Relation::Relative => "relative",
            Relation::Friend => "friend",
            Relation::Colleague => "colleague",
            Relation::MemberOf => "member-of",
            Relation::Decided => "decided",
            Relation::Deadline => "deadline",
            Relation::Visits => "visits",
        }
    }

    /// The relation of a name that [`Relation::name`] gives.
    pub fn parse(name: &str) -> Option<Relation> {
        Relation::ALL.into_iter().find(|relation| relation.name() == name)
    }

    /// Whether it holds of one object at a time, so that another object ends it.
    pub const fn is_functional(self) -> bool {
        matches!(
            self,
            Relation::WorksAt
                | Relation::LivesIn
                | Relation::StudiesAt
                | Relation::Diet
                | Relation::Version
                | Relation::Birthday
                | Relation::Age
                | Relation::Spouse
                | Relation::Partner
                | Relation::Deadline
        )
    }

    /// Whether two objects, both normalised, cannot hold at the same time.
    pub fn excludes(self, one: &str, other: &str) -> bool {
        if !self.is_functional() || one == other {
            return false;
        }
        // "gluten-free" goes with "vegan".
        self != Relation::Diet || WHOLE_DIETS.contains(&one) && WHOLE_DIETS.contains(&other)
    }
}
