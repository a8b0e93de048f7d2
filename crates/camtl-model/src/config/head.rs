//! What a head is: its kind, its outputs, and how both are stored.

use serde::{Deserialize, Serialize};

use crate::error::ModelError;

/// What a head reads and predicts. The weight has [`TaskHead::num_outputs`] rows and
/// [`HeadKind::inputs`] columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum HeadKind {
    /// One of C classes from the pooled output, by cross-entropy.
    Classification,
    /// A score from the pooled output, by squared error.
    Regression,
    /// One of the sequences of an example: each sequence's pooled output gives one number, and the
    /// softmax goes over the example's sequences.
    MultipleChoice,
    /// One of C classes for each of some tokens, from their hidden states.
    Tagging,
    /// Two tokens, first and last of an answer, from the hidden states.
    Span {
        /// Whether the first token is an answer of its own (`there is none`), so that it counts
        /// among the alternatives of the uncertainty.
        #[serde(default)]
        no_answer: bool,
    },
    /// One of C classes for two stretches of a sequence, from the first token's hidden state and the
    /// mean hidden state of each stretch, end to end.
    SpanPair,
}

impl HeadKind {
    /// Whether the head reads hidden states of more than the first tokens.
    pub fn needs_tokens(self) -> bool {
        matches!(
            self,
            HeadKind::Tagging | HeadKind::Span { .. } | HeadKind::SpanPair
        )
    }

    /// Columns of the head's weight for an encoder of width `hidden_size`.
    pub fn inputs(self, hidden_size: i64) -> i64 {
        match self {
            HeadKind::SpanPair => 3 * hidden_size,
            _ => hidden_size,
        }
    }

    /// Whether each example is one sequence of which only the pooled output is read.
    pub(crate) fn is_plain(self) -> bool {
        matches!(self, HeadKind::Classification | HeadKind::Regression)
    }

    /// The outputs that the kind itself fixes.
    fn fixed_outputs(self) -> Option<usize> {
        match self {
            HeadKind::Regression | HeadKind::MultipleChoice => Some(1),
            HeadKind::Span { .. } => Some(2),
            HeadKind::Classification | HeadKind::Tagging | HeadKind::SpanPair => None,
        }
    }

    /// The kind in a sentence.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            HeadKind::Classification => "a classification",
            HeadKind::Regression => "a regression",
            HeadKind::MultipleChoice => "a multiple choice",
            HeadKind::Tagging => "a tagging",
            HeadKind::Span { .. } => "a span",
            HeadKind::SpanPair => "a span pair",
        }
    }
}

/// One task's decoder.
///
/// ```
/// use camtl_model::{HeadKind, TaskHead};
///
/// let head = TaskHead::tagging("wnut17", 13);
/// assert!(head.kind.needs_tokens());
/// // Manifests of version 1 said only whether a head was a regression.
/// let old = r#"{"name": "sts-b", "num_outputs": 1, "regression": true}"#;
/// let head: TaskHead = serde_json::from_str(old).unwrap();
/// assert_eq!(head.kind, HeadKind::Regression);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredHead")]
pub struct TaskHead {
    /// The task's name; unique in a model.
    pub name: String,
    /// Rows of the weight: the number of classes C; 1 for a regression and a multiple choice, 2 for
    /// a span.
    pub num_outputs: usize,
    /// What it reads and predicts.
    pub kind: HeadKind,
}

impl TaskHead {
    fn new(name: &str, num_outputs: usize, kind: HeadKind) -> Self {
        TaskHead {
            name: name.to_string(),
            num_outputs,
            kind,
        }
    }

    /// A classification over `classes` classes.
    pub fn classification(name: &str, classes: usize) -> Self {
        TaskHead::new(name, classes, HeadKind::Classification)
    }

    /// A regression with one output.
    pub fn regression(name: &str) -> Self {
        TaskHead::new(name, 1, HeadKind::Regression)
    }

    /// A choice among the sequences of an example.
    pub fn multiple_choice(name: &str) -> Self {
        TaskHead::new(name, 1, HeadKind::MultipleChoice)
    }

    /// Tags of `classes` classes.
    pub fn tagging(name: &str, classes: usize) -> Self {
        TaskHead::new(name, classes, HeadKind::Tagging)
    }

    /// A span of tokens; `no_answer` says whether there may be none.
    pub fn span(name: &str, no_answer: bool) -> Self {
        TaskHead::new(name, 2, HeadKind::Span { no_answer })
    }

    /// A classification of two stretches of a sequence over `classes` classes.
    pub fn span_pair(name: &str, classes: usize) -> Self {
        TaskHead::new(name, classes, HeadKind::SpanPair)
    }

    /// Shape of the weight for an encoder of width `hidden_size`.
    pub fn weight_shape(&self, hidden_size: i64) -> [i64; 2] {
        [self.num_outputs as i64, self.kind.inputs(hidden_size)]
    }

    /// Checks the number of outputs; `field` names the head in the message.
    pub(crate) fn check(&self, field: &str) -> Result<(), ModelError> {
        let most = 1 << 20;
        if self.num_outputs == 0 || self.num_outputs > most {
            return Err(ModelError::config(
                field,
                format!("has {} outputs; expected 1 to {most}", self.num_outputs),
            ));
        }
        match self.kind.fixed_outputs() {
            Some(outputs) if outputs != self.num_outputs => Err(ModelError::config(
                field,
                format!(
                    "is {} with {} outputs; expected {outputs}",
                    self.kind.describe(),
                    self.num_outputs
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// A head as files hold it: since format version 2 with its kind, before that with `regression`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredHead {
    name: String,
    num_outputs: usize,
    kind: Option<HeadKind>,
    regression: Option<bool>,
}

impl TryFrom<StoredHead> for TaskHead {
    type Error = String;

    fn try_from(stored: StoredHead) -> Result<Self, String> {
        let kind = match (stored.kind, stored.regression) {
            (Some(_), Some(_)) => {
                return Err(format!(
                    "head `{}` has both `kind` and `regression`; `kind` alone says what it is",
                    stored.name
                ));
            }
            (Some(kind), None) => kind,
            (None, Some(true)) => HeadKind::Regression,
            (None, _) => HeadKind::Classification,
        };
        Ok(TaskHead {
            name: stored.name,
            num_outputs: stored.num_outputs,
            kind,
        })
    }
}
