//! The stand-in's log, counted: for a whole program, and for its steps one by one.
//!
//! The lines are described in `benches/gpu/stand_in/log.h`.

/// What a line of the log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event<'a> {
    /// A kernel of camtl's.
    OwnKernel(&'a str),
    /// A kernel of libtorch's.
    LibtorchKernel,
    /// A call of cuBLAS.
    Product,
    /// A copy or a memset.
    Copy,
    /// The host waits for the device.
    Wait,
    /// Anything that became a part of a graph instead of being done.
    Captured,
    Graph,
    Replay {
        nodes: usize,
    },
    Refused(&'a str),
    Unanswered(&'a str),
    Other,
}

impl<'a> Event<'a> {
    fn of_line(line: &'a str) -> Self {
        let (event, rest) = line.split_once(' ').unwrap_or((line, ""));
        match event {
            "launch" if rest.starts_with("cublas") => Self::Product,
            // The namespace of camtl's kernels, as C++ compilers write it into names.
            "launch" if rest.starts_with("_ZN5camtl") => Self::OwnKernel(rest),
            "launch" => Self::LibtorchKernel,
            "copy" | "memset" => Self::Copy,
            "wait" => Self::Wait,
            "captured" => Self::Captured,
            "graph" => Self::Graph,
            "replay" => Self::Replay {
                nodes: rest.parse().unwrap_or(0),
            },
            "refused" => Self::Refused(rest),
            "unanswered" => Self::Unanswered(rest),
            _ => Self::Other,
        }
    }
}

/// What was enqueued or waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Launches of camtl's kernels.
    pub own: usize,
    /// Calls of cuBLAS.
    pub products: usize,
    /// Launches of libtorch's kernels.
    pub libtorch: usize,
    /// Copies and memsets.
    pub copies: usize,
    /// Waits of the host.
    pub waits: usize,
    /// Launches of graphs.
    pub replays: usize,
    /// Nodes of the graphs that were launched.
    pub replayed: usize,
}

impl Counts {
    fn add(&mut self, event: Event<'_>) {
        match event {
            Event::OwnKernel(_) => self.own += 1,
            Event::LibtorchKernel => self.libtorch += 1,
            Event::Product => self.products += 1,
            Event::Copy => self.copies += 1,
            Event::Wait => self.waits += 1,
            Event::Replay { nodes } => {
                self.replays += 1;
                self.replayed += nodes;
            }
            _ => {}
        }
    }

    /// Launches of kernels and calls of cuBLAS.
    pub(crate) fn launches(&self) -> usize {
        self.own + self.products + self.libtorch
    }
}

/// A whole log.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub counts: Counts,
    /// Captures that ended well.
    pub graphs: usize,
    /// What the run time would have refused, and calls that ended the program, in order.
    pub refused: Vec<String>,
}

impl Summary {
    pub(crate) fn of(log: &str) -> Self {
        let mut summary = Self::default();
        for line in log.lines() {
            let event = Event::of_line(line);
            summary.counts.add(event);
            match event {
                Event::Graph => summary.graphs += 1,
                Event::Refused(call) => summary.refused.push(call.to_owned()),
                Event::Unanswered(call) => summary
                    .refused
                    .push(format!("{call}: the stand-in does not answer it")),
                _ => {}
            }
        }
        summary
    }
}

/// The parts of a log that repeat, each with what it enqueues and waits for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Steps {
    /// From one update of the parameters to the next, launch by launch.
    pub training: Vec<Counts>,
    /// The same with replayed graphs.
    pub training_replays: Vec<Counts>,
    /// Forward passes without a backward one, launch by launch.
    pub scoring: Vec<Counts>,
    /// The same as replayed graphs.
    pub scoring_replays: Vec<Counts>,
}

/// Where a scoring pass is cut out of the log: what each of them has once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Heads,
    Replay,
}

impl Steps {
    pub(crate) fn of(log: &str) -> Self {
        let mut steps = Self::default();
        let mut update = Counts::default();
        let mut update_captures = false;
        // What came since the last mark, as long as nothing in it belongs to training.
        let mut pass: Option<(Mark, Counts)> = None;
        for event in log.lines().map(Event::of_line) {
            let mark = match event {
                Event::OwnKernel(name) if name.contains("heads_forward_kernel") => {
                    Some(Mark::Heads)
                }
                Event::Replay { .. } => Some(Mark::Replay),
                _ => None,
            };
            if let Some(mark) = mark
                && let Some((begun, counts)) = pass.replace((mark, Counts::default()))
                && begun == mark
            {
                match mark {
                    Mark::Heads => steps.scoring.push(counts),
                    Mark::Replay => steps.scoring_replays.push(counts),
                }
            }
            update.add(event);
            if let Some((_, counts)) = &mut pass {
                counts.add(event);
            }
            match event {
                Event::OwnKernel(name) if name.contains("heads_backward_kernel") => pass = None,
                Event::OwnKernel(name) if name.contains("adamw_kernel") => {
                    pass = None;
                    let done = std::mem::take(&mut update);
                    // A step that captures does a step's work twice.
                    match (std::mem::take(&mut update_captures), done.replays) {
                        (true, _) => {}
                        (false, 0) => steps.training.push(done),
                        (false, _) => steps.training_replays.push(done),
                    }
                }
                Event::Captured => {
                    pass = None;
                    update_captures = true;
                }
                _ => {}
            }
        }
        steps
    }
}

/// The median of every number by itself; `None` of nothing.
pub(crate) fn median(all: &[Counts]) -> Option<Counts> {
    let of = |number: fn(&Counts) -> usize| {
        let mut numbers: Vec<usize> = all.iter().map(number).collect();
        numbers.sort_unstable();
        numbers.get(numbers.len() / 2).copied()
    };
    Some(Counts {
        own: of(|c| c.own)?,
        products: of(|c| c.products)?,
        libtorch: of(|c| c.libtorch)?,
        copies: of(|c| c.copies)?,
        waits: of(|c| c.waits)?,
        replays: of(|c| c.replays)?,
        replayed: of(|c| c.replayed)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADS: &str = "launch _ZN5camtl20heads_forward_kernelIfEEvPKT_\n";
    const BACKWARD: &str = "launch _ZN5camtl21heads_backward_kernelIfEEvPKT_\n";
    const ADAMW: &str = "launch _ZN5camtl12adamw_kernelENS_14AdamWOperationE\n";
    const FILL: &str = "launch _ZN2at6native11fill_kernelEv\n";
    const PRODUCT: &str = "launch cublasGemmEx\n";

    #[test]
    fn a_program_is_counted() {
        let log = format!(
            "allocate 2097152\ncopy host-to-device 64\nwait cudaStreamSynchronize\n{FILL}{PRODUCT}{HEADS}\
             captured cublasLtMatmul\ncaptured copy device-to-device 64\ngraph 2\nreplay 2\nreplay 2\nmemset 32\n"
        );
        let summary = Summary::of(&log);
        assert_eq!(
            summary.counts,
            Counts {
                own: 1,
                products: 1,
                libtorch: 1,
                copies: 2,
                waits: 1,
                replays: 2,
                replayed: 4,
            }
        );
        assert_eq!(summary.counts.launches(), 3);
        assert_eq!(summary.graphs, 1);
        assert!(summary.refused.is_empty());
    }

    #[test]
    fn refused_and_unanswered_calls_are_kept_with_their_reasons() {
        let summary = Summary::of(
            "refused cudaMalloc: not permitted during a capture (cudaErrorStreamCaptureUnsupported)\n\
             unanswered cudaHostRegister\n",
        );
        assert_eq!(
            summary.refused,
            [
                "cudaMalloc: not permitted during a capture (cudaErrorStreamCaptureUnsupported)",
                "cudaHostRegister: the stand-in does not answer it",
            ]
        );
    }

    #[test]
    fn steps_are_cut_at_updates_and_passes_at_their_heads() {
        let training = [FILL, PRODUCT, HEADS, BACKWARD, ADAMW].concat();
        let scoring = [PRODUCT, PRODUCT, HEADS, FILL].concat();
        let replayed = format!("copy host-to-device 8\nreplay 7\n{ADAMW}");
        let captured = format!("captured cublasGemmEx\ngraph 1\nreplay 1\n{ADAMW}");
        let log = [
            training.repeat(2),
            scoring.repeat(3),
            captured,
            replayed.repeat(2),
            "replay 5\nwait cudaStreamSynchronize\n".repeat(3),
        ]
        .concat();
        let steps = Steps::of(&log);
        assert_eq!(steps.training.len(), 2);
        assert_eq!(
            median(&steps.training),
            Some(Counts {
                own: 3,
                products: 1,
                libtorch: 1,
                ..Counts::default()
            })
        );
        assert_eq!(
            median(&steps.training_replays),
            Some(Counts {
                own: 1,
                copies: 1,
                replays: 1,
                replayed: 7,
                ..Counts::default()
            })
        );
        // The last one is not closed by another.
        assert_eq!(steps.scoring.len(), 2);
        assert_eq!(
            median(&steps.scoring),
            Some(Counts {
                own: 1,
                products: 2,
                libtorch: 1,
                ..Counts::default()
            })
        );
        assert_eq!(steps.scoring_replays.len(), 2);
        assert_eq!(
            median(&steps.scoring_replays),
            Some(Counts {
                waits: 1,
                replays: 1,
                replayed: 5,
                ..Counts::default()
            })
        );
        assert_eq!(median(&[]), None);
    }
}
