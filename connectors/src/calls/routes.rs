//! Routes: which provider's model a name stands for.
//!
//! Owns: the order in which a name is looked up: a configured name, `PROVIDER/MODEL`, a model that a provider declares, a
//! configured name with a star (the one with the longest text before it first).
//! Never: looks at how providers fare.

use super::config::{Config, ModelConfig};

/// A provider's model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Which of the providers, by its place in the configuration.
    pub(super) provider: usize,
    /// The model's name there.
    pub(super) model: String,
}

/// The names of models.
#[derive(Debug, Default)]
pub(super) struct Routes {
    providers: Vec<Offer>,
    exact: Vec<ModelConfig>,
    starred: Vec<ModelConfig>,
}

#[derive(Debug)]
struct Offer {
    name: String,
    models: Vec<String>,
}

impl Routes {
    pub(super) fn new(config: &Config) -> Self {
        let providers = config.providers.iter().map(|provider| Offer {
            name: provider.name.clone(),
            models: provider.models.iter().map(|model| model.name.clone()).collect(),
        });
        let (mut starred, exact): (Vec<_>, _) =
            config.models.iter().cloned().partition(|model| model.name.contains('*'));
        starred.sort_by_key(|model| std::cmp::Reverse(model.name.find('*')));
        Self { providers: providers.collect(), exact, starred }
    }

    /// Who is asked for a model, in order; empty where nobody has it.
    pub(super) fn targets(&self, name: &str) -> Vec<Target> {
        if let Some(model) = self.exact.iter().find(|model| model.name == name) {
            return model.targets.iter().filter_map(|target| self.target(target)).collect();
        }
        if let Some(target) = self.target(name) {
            return vec![target];
        }
        let declares = |offer: &Offer| offer.models.iter().any(|model| model == name);
        if let Some(provider) = self.providers.iter().position(declares) {
            return vec![Target { provider, model: name.to_owned() }];
        }
        let stands_for = |model: &'_ ModelConfig| {
            let (before, behind) = model.name.split_once('*')?;
            name.strip_prefix(before)?.strip_suffix(behind).map(str::to_owned)
        };
        let found = self.starred.iter().find_map(|model| Some((model, stands_for(model)?)));
        found.map_or_else(Vec::new, |(model, star)| {
            model.targets.iter().filter_map(|target| self.target(&target.replace('*', &star))).collect()
        })
    }

    fn target(&self, name: &str) -> Option<Target> {
        let (provider, model) = name.split_once('/')?;
        let provider = self.providers.iter().position(|offer| offer.name == provider)?;
        (!model.is_empty()).then(|| Target { provider, model: model.to_owned() })
    }

    /// The names that can be listed, each with the provider that is asked first.
    pub(super) fn names(&self) -> Vec<(String, String)> {
        let configured = self
            .exact
            .iter()
            .filter_map(|model| Some((model.name.clone(), model.targets.first()?.split_once('/')?.0.to_owned())));
        let declared = self
            .providers
            .iter()
            .flat_map(|offer| offer.models.iter().map(|model| (model.clone(), offer.name.clone())));
        let mut names: Vec<(String, String)> = Vec::new();
        for (name, provider) in configured.chain(declared) {
            if !names.iter().any(|(known, _)| *known == name) {
                names.push((name, provider));
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> Routes {
        let provider = |name: &str, models: &[&str]| {
            let models: String =
                models.iter().map(|model| format!("[[providers.models]]\nname = \"{model}\"\n")).collect();
            format!("[[providers]]\nname = \"{name}\"\nkind = \"openai\"\nbase_url = \"http://x\"\n{models}")
        };
        let model = |name: &str, targets: &str| format!("[[models]]\nname = \"{name}\"\ntargets = {targets}\n");
        let text = [
            provider("north", &["small", "org/large"]),
            provider("south", &["small", "other"]),
            model("fast", "[\"south/small\", \"north/small\"]"),
            model("gpt-*", "[\"north/gpt-*\"]"),
            model("gpt-5*", "[\"south/five*\", \"north/gpt-5\"]"),
            model("*", "[\"south/*\"]"),
        ]
        .concat();
        Routes::new(&Config::parse(&text).unwrap())
    }

    fn check(name: &str, expected: &[(usize, &str)]) {
        let expected: Vec<_> =
            expected.iter().map(|(provider, model)| Target { provider: *provider, model: (*model).into() }).collect();
        assert_eq!(routes().targets(name), expected, "{name}");
    }

    #[test]
    fn names_are_looked_up_from_the_most_to_the_least_exact() {
        check("fast", &[(1, "small"), (0, "small")]);
        check("small", &[(0, "small")]);
        check("south/small", &[(1, "small")]);
        check("north/anything/at-all", &[(0, "anything/at-all")]);
        check("org/large", &[(0, "org/large")]);
        check("gpt-4", &[(0, "gpt-4")]);
        check("gpt-5-mini", &[(1, "five-mini"), (0, "gpt-5")]);
        check("unheard-of", &[(1, "unheard-of")]);
        assert!(Routes::default().targets("x").is_empty());
    }

    #[test]
    fn names_are_listed_once() {
        let names = routes().names();
        let names: Vec<_> = names.iter().map(|(name, provider)| (name.as_str(), provider.as_str())).collect();
        assert_eq!(names, [("fast", "south"), ("small", "north"), ("org/large", "north"), ("other", "south")]);
    }
}
