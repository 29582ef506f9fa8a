//! The shape of the language as data: one table drives the strict reader, the nearest-name hints and the editors' JSON Schema,
//! so the three cannot drift apart.

/// What may stand in a place.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A prompt or other running text.
    Text,
    /// A short text that is searched for.
    Keyword,
    /// A name, path or other token without further checks.
    Word,
    Bool,
    Count,
    Number,
    Share,
    Duration,
    Rate,
    Regex,
    /// `YYYY-MM-DD`.
    Date,
    /// `20..60`, `5`, or `{ min: …, max: … }`.
    Range,
    OneOf(&'static [&'static str]),
    /// Anything, kept as JSON.
    Json,
    /// Anything that texts may be filled with, so that its spelling counts.
    Filling,
    /// A map of anything.
    JsonMap,
    List(&'static Kind),
    OneOrMany(&'static Kind),
    Map(&'static [Key]),
    /// Free keys, each with a value of this kind.
    Dict(&'static Kind),
    /// The first whose form (scalar, list, map) fits.
    Either(&'static [Kind]),
    Expectation,
    Expectations,
}

/// One key of a map.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
    pub doc: &'static str,
}

pub const fn key(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, required: false, doc }
}

pub const fn must(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, required: true, doc }
}

/// One word of the expectation vocabulary.
#[derive(Debug, Clone, Copy)]
pub struct Word {
    pub name: &'static str,
    /// May stand alone, without a value.
    pub bare: bool,
    pub kind: Kind,
    pub doc: &'static str,
}

/// The three forms a YAML node can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Scalar,
    List,
    Map,
}

impl Kind {
    /// True when a node of that form can be of this kind at all.
    pub fn takes(&self, form: Form) -> bool {
        match self {
            Kind::Json | Kind::Filling => true,
            Kind::JsonMap | Kind::Map(_) | Kind::Dict(_) => form == Form::Map,
            Kind::List(_) | Kind::Expectations => form == Form::List,
            Kind::OneOrMany(inner) => form == Form::List || inner.takes(form),
            Kind::Either(kinds) => kinds.iter().any(|k| k.takes(form)),
            Kind::Expectation => form != Form::List,
            Kind::Range => form != Form::List,
            _ => form == Form::Scalar,
        }
    }

    /// How to say it: "a duration such as `800ms`".
    pub fn says(&self) -> String {
        match self {
            Kind::Text | Kind::Keyword => "text".into(),
            Kind::Word => "a name".into(),
            Kind::Bool => "`true` or `false`".into(),
            Kind::Count => "a whole number".into(),
            Kind::Number => "a number".into(),
            Kind::Share => "a share such as `95%`".into(),
            Kind::Duration => "a duration such as `800ms`".into(),
            Kind::Rate => "a rate such as `20/s`".into(),
            Kind::Regex => "a regular expression".into(),
            Kind::Date => "a date such as `2026-12-31`".into(),
            Kind::Range => "a range such as `20..60`".into(),
            Kind::OneOf(words) => format!("one of {}", list(words)),
            Kind::Json | Kind::Filling => "a value".into(),
            Kind::JsonMap | Kind::Dict(_) => "a map".into(),
            Kind::List(inner) => format!("a list, each item {}", inner.says()),
            Kind::OneOrMany(inner) => format!("{} or a list of them", inner.says()),
            Kind::Map(keys) => format!("a map with {}", list(&keys.iter().map(|k| k.name).collect::<Vec<_>>())),
            Kind::Either(kinds) => kinds.iter().map(Kind::says).collect::<Vec<_>>().join(", or "),
            Kind::Expectation => "an expectation".into(),
            Kind::Expectations => "a list of expectations".into(),
        }
    }
}

fn list(words: &[&str]) -> String {
    words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
}
