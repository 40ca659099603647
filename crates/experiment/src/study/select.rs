//! Which trainings of a study are meant by a name.

use super::config::Training;
use super::train::variant_of;

impl Training {
    /// Whether one of its names fits a pattern: that of its model, of its attention, its label or its folder.
    ///
    /// `*` stands for any characters, also none; everything else for itself.
    ///
    /// ```
    /// use experiment::study::StudyConfig;
    ///
    /// let text = r#"
    /// name = "losses"
    /// [data]
    /// simulated = { users = 100, items = 200, clusters = 10 }
    /// [evaluation]
    /// seen = "removed"
    /// [models.softmax]
    /// model = { sasrec = { width = 16, longest = 50 } }
    /// seeds = [0, 1]
    /// [models.sampled-softmax]
    /// model = { sasrec = { width = 16, longest = 50 } }
    /// seeds = [0, 1]
    /// "#;
    /// let config = StudyConfig::parse("losses.toml", text, &[])?;
    /// let meant = |pattern: &str| {
    ///     let all = config.trainings().into_iter();
    ///     let meant = all.filter(|training| training.fits(pattern));
    ///     meant.map(|training| training.folder()).collect::<Vec<_>>()
    /// };
    /// assert_eq!(meant("softmax"), ["softmax-seed0", "softmax-seed1"]);
    /// assert_eq!(meant("softmax-seed1"), ["softmax-seed1"]);
    /// assert_eq!(meant("*softmax-seed1"), ["sampled-softmax-seed1", "softmax-seed1"]);
    /// # Ok::<(), experiment::ConfigError>(())
    /// ```
    #[must_use]
    pub fn fits(&self, pattern: &str) -> bool {
        let names = [Some(self.name.clone()), variant_of(self)];
        let names = names.into_iter().flatten();
        let mut names = names.chain([self.label(), self.folder()]);
        names.any(|name| fits(&name, pattern))
    }
}

fn fits(name: &str, pattern: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('*') else {
        return name == pattern;
    };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    let inner = name
        .strip_prefix(begin)
        .and_then(|name| name.strip_suffix(end));
    let Some(mut left) = inner else {
        return false;
    };
    // The first place of each part leaves most to those after it.
    middle.split('*').all(|part| {
        let found = left.split_once(part);
        left = found.map_or(left, |(_, after)| after);
        found.is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::StudyConfig;

    const STUDY: &str = r#"
        name = "study"
        [data]
        simulated = { users = 100, items = 200, clusters = 10 }
        [evaluation]
        seen = "removed"
        [models.softmax]
        model = { sasrec = { width = 16, longest = 50 } }
        vary_attention = true
        [models.sampled-softmax]
        model = { sasrec = { width = 16, longest = 50 } }
        seeds = [0, 1]
        [variants.blocked]
        seeds = [0, 1]
        [variants.favor-64]
        variant = "favor"
    "#;

    fn meant(pattern: &str) -> Vec<String> {
        let config = StudyConfig::parse("study.toml", STUDY, &[]).unwrap();
        let mut all = config.trainings();
        all.retain(|training| training.fits(pattern));
        all.iter().map(Training::folder).collect()
    }

    #[test]
    fn a_name_means_what_has_it_and_nothing_that_only_holds_it() {
        let softmax = [
            "softmax-blocked-seed0",
            "softmax-blocked-seed1",
            "softmax-favor-64-seed0",
        ];
        assert_eq!(meant("softmax"), softmax);
        assert_eq!(meant("sampled-softmax-seed1"), ["sampled-softmax-seed1"]);
        assert_eq!(meant("softmax-blocked-seed1"), softmax[1..2]);
        assert_eq!(meant("softmax, blocked"), softmax[..2]);
        assert_eq!(meant("favor-64"), softmax[2..]);
        let exact = [
            "sampled-softmax-seed0",
            "sampled-softmax-seed1",
            "softmax-blocked-seed0",
            "softmax-blocked-seed1",
        ];
        assert_eq!(
            meant("blocked"),
            exact,
            "a model's own attention has a name too"
        );
        for nothing in ["soft", "softmax-seed1", "favor", "seed0", ""] {
            assert!(meant(nothing).is_empty(), "{nothing}");
        }
    }

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, fit, other) in [
            ("*", "softmax", None),
            ("soft*", "softmax", Some("sampled-softmax")),
            ("*softmax", "sampled-softmax", Some("softmax-seed0")),
            ("s*-*d1", "sampled-softmax-seed1", Some("s-seed0")),
            ("*a*a*", "aa", Some("a")),
            ("a*a", "aa", Some("a")),
            ("*ab*b", "abb", Some("ab")),
            ("**x", "x", Some("xy")),
        ] {
            assert!(fits(fit, pattern), "{pattern} and {fit}");
            if let Some(other) = other {
                assert!(!fits(other, pattern), "{pattern} and {other}");
            }
        }
    }
}
