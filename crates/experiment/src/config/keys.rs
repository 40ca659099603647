//! Every key of a config, in one list: the reader refuses others, help and README show these.

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The table that it stands in; empty for the top level.
    pub section: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it accepts.
    pub accepts: &'static str,
    /// Its value where it is left out.
    pub default: &'static str,
    /// What it means, in a line.
    pub summary: &'static str,
}

const fn key(
    section: &'static str,
    name: &'static str,
    accepts: &'static str,
    default: &'static str,
    summary: &'static str,
) -> Key {
    Key {
        section,
        name,
        accepts,
        default,
        summary,
    }
}

/// All keys, in the order in which a config is best written; a list makes an axis. The parameters of
/// `[variants.*]` are those of the registry.
pub static KEYS: &[Key] = &[
    key(
        "",
        "name",
        "a name of letters, digits, - and _",
        "required",
        "names the folder of the results",
    ),
    key(
        "",
        "question",
        "prose",
        "empty",
        "the question that the experiment answers",
    ),
    key(
        "",
        "seed",
        "a whole number",
        "1",
        "decides inputs, sampled rows and the order of rounds",
    ),
    key(
        "",
        "baseline",
        "a label or name of [variants.*]",
        "none",
        "speed-ups are over it",
    ),
    key(
        "",
        "ladder",
        "a list of labels or names of [variants.*]",
        "none",
        "rungs of a chart, from the first to the last: what each buys over the one before",
    ),
    key(
        "",
        "inputs",
        "a table",
        "clusters",
        "what Q, K and V are made of",
    ),
    key(
        "",
        "histories",
        "a table",
        "simulated",
        "the interaction log, where one is used",
    ),
    key(
        "",
        "tensors",
        "a table",
        "none",
        "files of Q, K and V, where the workload is `tensors`",
    ),
    key(
        "",
        "problem",
        "a table",
        "required",
        "sizes, mask, layout, threads: the axes",
    ),
    key(
        "",
        "variants",
        "tables",
        "required",
        "a table for each variant, named as in the registry",
    ),
    key(
        "",
        "accuracy",
        "a table",
        "see below",
        "how accuracy is measured",
    ),
    key("", "time", "a table", "see below", "how time is measured"),
    key(
        "inputs",
        "workload",
        "a workload, or a list",
        "clusters",
        "how Q, K and V are generated",
    ),
    key(
        "inputs",
        "entropy",
        "a share in (0, 1], or a list",
        "the workload's natural scale",
        "η to which Q is scaled",
    ),
    key(
        "histories",
        "log",
        "`simulated` or a path",
        "simulated",
        "interaction log: relative to the config's folder, else to $ATTNBENCH_DATA",
    ),
    key(
        "histories",
        "format",
        "a log format",
        "auto",
        "how the log is laid out",
    ),
    key(
        "tensors",
        "file",
        "FILE.safetensors",
        "required, unless q, k and v are given",
        "holds Q, K and V, as `attnbench export` writes them: relative to the config's folder, else to $ATTNBENCH_DATA",
    ),
    key(
        "tensors",
        "layer",
        "a whole number",
        "the tensors `q`, `k` and `v`",
        "L, to take the tensors `layer.L.q`, `layer.L.k` and `layer.L.v` of the file",
    ),
    key(
        "tensors",
        "q",
        "FILE.npy, FILE.safetensors or FILE.safetensors:NAME",
        "that of the file",
        "Q [B, H, Nq, D] from a place of its own",
    ),
    key(
        "tensors",
        "k",
        "as for q",
        "that of the file",
        "K [B, Hkv, Nk, D] from a place of its own",
    ),
    key(
        "tensors",
        "v",
        "as for q",
        "that of the file",
        "V [B, Hkv, Nk, Dv] from a place of its own",
    ),
    key(
        "problem",
        "length",
        "a whole number, or a list",
        "required",
        "N, the keys of the longest history",
    ),
    key(
        "problem",
        "queries",
        "a whole number, or a list",
        "N",
        "Nq, the queries; fewer than N stand at its end",
    ),
    key(
        "problem",
        "head_dimension",
        "a whole number, or a list",
        "64, or that of the tensors",
        "D",
    ),
    key(
        "problem",
        "value_dimension",
        "a whole number, or a list",
        "D, or that of the tensors",
        "Dv",
    ),
    key(
        "problem",
        "batch",
        "a whole number, or a list",
        "1, or that of the tensors",
        "B, histories",
    ),
    key(
        "problem",
        "heads",
        "a whole number, or a list",
        "4, or that of the tensors",
        "H, query heads",
    ),
    key(
        "problem",
        "key_heads",
        "a whole number, or a list",
        "H, or that of the tensors",
        "Hkv, a divisor of H",
    ),
    key(
        "problem",
        "mask",
        "full, causal, causal-bottom-right, window:W, joined by +, or a list",
        "causal",
        "the problem mask",
    ),
    key(
        "problem",
        "padding",
        "none, lognormal:SIGMA or log, or a list",
        "none",
        "how history lengths vary within the batch, up to N",
    ),
    key(
        "problem",
        "layout",
        "padded or jagged, or a list",
        "padded",
        "how histories lie in the tensors",
    ),
    key(
        "problem",
        "pass",
        "forward, training or decode, or a list",
        "forward",
        "what a call computes: O; O and all gradients; O over keys absorbed before",
    ),
    key(
        "problem",
        "threads",
        "a whole number or `all`, or a list",
        "all",
        "worker threads",
    ),
    key(
        "accuracy",
        "rows",
        "a whole number",
        "256",
        "query rows that the f64 oracle answers",
    ),
    key(
        "time",
        "warmup",
        "a whole number",
        "2",
        "untimed calls of each variant",
    ),
    key(
        "time",
        "min_rounds",
        "a whole number",
        "5",
        "rounds at least",
    ),
    key(
        "time",
        "max_rounds",
        "a whole number",
        "100",
        "rounds at most",
    ),
    key(
        "time",
        "relative_interval",
        "a share",
        "0.03",
        "half-width of the median's 95 % interval to stop at",
    ),
    key(
        "time",
        "seconds_per_group",
        "seconds",
        "5.0",
        "budget for the rounds of one group",
    ),
    key(
        "time",
        "seconds_per_call",
        "seconds",
        "20.0",
        "a cell whose single call takes longer is a timeout",
    ),
];

pub(super) fn of_section(section: &str) -> Vec<&'static str> {
    KEYS.iter()
        .filter(|k| k.section == section)
        .map(|k| k.name)
        .collect()
}

pub(super) fn find(section: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|k| k.section == section && k.name == name)
}
