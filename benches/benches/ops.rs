//! Every operation, fused against its definition in libtorch operations, and
//! where there is one against what a padded PyTorch model would call.
//!
//! `cargo bench -p camtl-benches --bench ops [-- FILTER]`. The table at the end
//! has ratios of medians of this run.

use std::hint::black_box;

use camtl_benches::{BASE, LARGE, Lengths, MINILM, Record, Shape};
use camtl_ops::{
    AdamWOptions, AdamWState, Dropout, Embedding, Head, Packing, Qkv, Queries, Targets, adamw_flat,
    clip_coefficient, cond_attention, cond_layer_norm, cpu_isa, embed_norm_film, film, gelu_bias,
    grad_norm, heads_entropy_loss, num_threads, slow,
};
use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use tch::nn::OptimizerConfig;
use tch::{Device, Kind, Tensor, nn, no_grad};

/// A form of an operation by name.
type Case<'a> = (&'static str, Box<dyn FnMut() + 'a>);
/// A form with the tensors that get gradients.
type TrainedCase<'a> = (&'static str, Vec<&'a Tensor>, Box<dyn Fn() -> Tensor + 'a>);

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);
const TASKS: i64 = 4;
const DROPOUT: Dropout = Dropout { p: 0.1, seed: 3 };
const FORMS: [&str; 2] = ["fused", "composite"];

type Error = Box<dyn std::error::Error>;

fn random(shape: &[i64]) -> Tensor {
    Tensor::randn(shape, CPU)
}

fn leaf(shape: &[i64]) -> Tensor {
    random(shape).set_requires_grad(true)
}

/// One batch of a shape: about 620 tokens, or `sequences` given.
struct Work {
    shape: Shape,
    lengths: Lengths,
    sequences: i64,
    packing: Packing,
}

impl Work {
    fn new(shape: Shape, lengths: Lengths, sequences: usize) -> Result<Self, Error> {
        let mut starts = vec![0];
        for length in lengths.of(sequences) {
            starts.push(starts[starts.len() - 1] + length);
        }
        let tasks: Vec<i64> = (0..sequences as i64)
            .map(|b| b * TASKS / sequences as i64)
            .collect();
        let packing = Packing::new(&starts, &tasks, Device::Cpu)?;
        Ok(Work {
            shape,
            lengths,
            sequences: sequences as i64,
            packing,
        })
    }

    fn name(&self, op: &str) -> String {
        let tokens = self.packing.num_tokens();
        format!("{op}/{}/{}/{tokens}", self.shape.name, self.lengths.name())
    }
}

struct Bench<'a> {
    criterion: &'a mut Criterion,
    record: Record,
    lines: Vec<(String, &'static str, Vec<&'static str>)>,
}

impl Bench<'_> {
    /// Measures the cases of one operation; the first is compared with the rest.
    fn cases(&mut self, work: &Work, op: &str, cases: Vec<Case<'_>>) {
        let name = work.name(op);
        let mut group: BenchmarkGroup<'_, WallTime> = self.criterion.benchmark_group(&name);
        group.throughput(Throughput::Elements(
            work.packing.num_tokens().unsigned_abs(),
        ));
        let names: Vec<&'static str> = cases.iter().map(|(case, _)| *case).collect();
        for (case, routine) in cases {
            self.record.measure(&mut group, &name, case, routine);
        }
        group.finish();
        self.lines.push((name, names[0], names[1..].to_vec()));
    }

    /// Forward without a graph, and the backward pass alone, of each form.
    fn both_ways(&mut self, work: &Work, op: &str, cases: &[TrainedCase<'_>]) {
        let forward = cases.iter().map(|(case, _, f)| {
            let routine: Box<dyn FnMut()> = Box::new(move || no_grad(|| drop(black_box(f()))));
            (*case, routine)
        });
        self.cases(work, &format!("{op}/forward"), forward.collect());
        let backward = cases.iter().map(|(case, inputs, f)| {
            let y = f();
            let routine: Box<dyn FnMut()> =
                Box::new(move || drop(black_box(Tensor::run_backward(&[&y], inputs, true, false))));
            (*case, routine)
        });
        self.cases(work, &format!("{op}/backward"), backward.collect());
    }

    fn layer_norm(&mut self, work: &Work) {
        let (n, d) = (work.packing.num_tokens(), work.shape.hidden);
        let (x, residual) = (leaf(&[n, d]), leaf(&[n, d]));
        let (weight, bias) = (leaf(&[TASKS, d]), leaf(&[d]));
        let inputs = vec![&x, &residual, &weight, &bias];
        let p = &work.packing;
        let run = |norm: Norm, x: &Tensor, dropout| {
            norm(x, Some(&residual), &weight, &bias, 1e-12, dropout, p).expect("cond_layer_norm")
        };
        type Norm = fn(
            &Tensor,
            Option<&Tensor>,
            &Tensor,
            &Tensor,
            f64,
            Option<Dropout>,
            &Packing,
        ) -> camtl_ops::Result<Tensor>;
        self.both_ways(
            work,
            "cond_layer_norm",
            &[
                (
                    FORMS[0],
                    inputs.clone(),
                    Box::new(|| run(cond_layer_norm, &x, None)),
                ),
                (
                    FORMS[1],
                    inputs.clone(),
                    Box::new(|| run(slow::cond_layer_norm, &x, None)),
                ),
            ],
        );
        self.both_ways(
            work,
            "cond_layer_norm_dropout",
            &[
                (
                    FORMS[0],
                    inputs.clone(),
                    Box::new(|| run(cond_layer_norm, &x, Some(DROPOUT))),
                ),
                // With libtorch's own dropout.
                (
                    FORMS[1],
                    inputs,
                    Box::new(|| run(slow::cond_layer_norm, &x.dropout(0.1, true), None)),
                ),
            ],
        );
    }

    fn attention(&mut self, work: &Work) {
        let (n, d, heads) = (
            work.packing.num_tokens(),
            work.shape.hidden,
            work.shape.heads,
        );
        let (qkv, band) = (leaf(&[n, 3 * d]), leaf(&[TASKS, 128, work.shape.width]));
        let (b, dim) = (work.sequences, d / heads);
        let padded: Vec<Tensor> = (0..3).map(|_| leaf(&[b, heads, 128, dim])).collect();
        // The padded form's bias, dense per example, as a mask that has a gradient.
        let bias = leaf(&[b, 1, 128, 128]);
        let p = &work.packing;
        let run = |fused: bool, dropout, queries| {
            let form = if fused {
                cond_attention
            } else {
                slow::cond_attention
            };
            form(Qkv::Joint(&qkv), heads, Some(&band), dropout, p, queries).expect("cond_attention")
        };
        let sdpa = |p| {
            let (q, k, v) = (&padded[0], &padded[1], &padded[2]);
            Tensor::scaled_dot_product_attention(q, k, v, Some(&bias), p, false, None, false)
        };
        let inputs = vec![&qkv, &band];
        let dense: Vec<&Tensor> = padded.iter().chain([&bias]).collect();
        self.both_ways(
            work,
            "cond_attention",
            &[
                (
                    FORMS[0],
                    inputs.clone(),
                    Box::new(|| run(true, None, Queries::All)),
                ),
                (
                    FORMS[1],
                    inputs.clone(),
                    Box::new(|| run(false, None, Queries::All)),
                ),
                ("padded-sdpa", dense.clone(), Box::new(|| sdpa(0.0))),
            ],
        );
        self.both_ways(
            work,
            "cond_attention_dropout",
            &[
                (
                    FORMS[0],
                    inputs.clone(),
                    Box::new(|| run(true, Some(DROPOUT), Queries::All)),
                ),
                ("padded-sdpa", dense, Box::new(|| sdpa(0.1))),
            ],
        );
        self.both_ways(
            work,
            "cond_attention_first_tokens",
            &[
                (
                    FORMS[0],
                    inputs.clone(),
                    Box::new(|| run(true, None, Queries::FirstTokens)),
                ),
                (
                    FORMS[1],
                    inputs,
                    Box::new(|| run(false, None, Queries::FirstTokens)),
                ),
            ],
        );
    }

    fn rows(&mut self, work: &Work) {
        let (n, d) = (work.packing.num_tokens(), work.shape.hidden);
        let p = &work.packing;
        let (x, gamma, beta) = (leaf(&[n, d]), leaf(&[TASKS, d]), leaf(&[TASKS, d]));
        let inputs = vec![&x, &gamma, &beta];
        self.both_ways(
            work,
            "film",
            &[
                (
                    FORMS[0],
                    inputs.clone(),
                    Box::new(|| film(&x, &gamma, &beta, p).expect("film")),
                ),
                (
                    FORMS[1],
                    inputs,
                    Box::new(|| slow::film(&x, &gamma, &beta, p).expect("film")),
                ),
            ],
        );
        let (h, bias) = (leaf(&[n, 4 * d]), leaf(&[4 * d]));
        let inputs = vec![&h, &bias];
        self.both_ways(
            work,
            "gelu_bias",
            &[
                (
                    FORMS[0],
                    inputs.clone(),
                    Box::new(|| gelu_bias(&h, &bias).expect("gelu_bias")),
                ),
                (
                    FORMS[1],
                    inputs,
                    Box::new(|| slow::gelu_bias(&h, &bias).expect("gelu_bias")),
                ),
            ],
        );
    }

    fn embedding(&mut self, work: &Work) {
        let (n, d) = (work.packing.num_tokens(), work.shape.hidden);
        let p = &work.packing;
        let ids = Tensor::randint(2000, [n], (Kind::Int64, Device::Cpu));
        let (types, places) = (
            Tensor::zeros([n], (Kind::Int64, Device::Cpu)),
            &ids.remainder(128),
        );
        let (word, token_type, position) = (leaf(&[2000, d]), leaf(&[2, d]), leaf(&[128, d]));
        let (weight, bias) = (leaf(&[d]), leaf(&[d]));
        let (gamma, beta) = (leaf(&[TASKS, d]), leaf(&[TASKS, d]));
        let embedding = Embedding {
            input_ids: &ids,
            token_type_ids: &types,
            position_ids: places,
            word: &word,
            token_type: &token_type,
            position: &position,
            weight: &weight,
            bias: &bias,
            eps: 1e-12,
        };
        let inputs = vec![&word, &token_type, &position, &weight, &bias, &gamma, &beta];
        let film = Some((&gamma, &beta));
        self.both_ways(
            work,
            "embed_norm_film",
            &[
                (
                    FORMS[0],
                    inputs.clone(),
                    Box::new(|| {
                        embed_norm_film(&embedding, film, None, p).expect("embed_norm_film")
                    }),
                ),
                (
                    FORMS[1],
                    inputs,
                    Box::new(|| {
                        slow::embed_norm_film(&embedding, film, None, p).expect("embed_norm_film")
                    }),
                ),
            ],
        );
    }

    fn heads(&mut self, work: &Work) {
        let (b, d) = (work.sequences, work.shape.hidden);
        let pooled = leaf(&[b, d]);
        let tables: Vec<(Tensor, Tensor)> =
            (0..TASKS).map(|_| (leaf(&[3, d]), leaf(&[3]))).collect();
        let heads: Vec<Head<'_>> = tables
            .iter()
            .map(|(weight, bias)| Head {
                weight,
                bias,
                regression: false,
            })
            .collect();
        let classes: Vec<i64> = (0..b).map(|n| n % 3).collect();
        let targets = Targets::new(&classes, &vec![0.0; classes.len()], Device::Cpu)
            .expect("one class and score each");
        let mut inputs = vec![&pooled];
        inputs.extend(tables.iter().flat_map(|(weight, bias)| [weight, bias]));
        let p = &work.packing;
        let run = |fused: bool| {
            let form = if fused {
                heads_entropy_loss
            } else {
                slow::heads_entropy_loss
            };
            form(&pooled, &heads, p, Some(&targets))
                .expect("heads_entropy_loss")
                .loss
                .expect("targets given")
        };
        self.both_ways(
            work,
            "heads_entropy_loss",
            &[
                (FORMS[0], inputs.clone(), Box::new(|| run(true))),
                (FORMS[1], inputs, Box::new(|| run(false))),
            ],
        );
    }

    /// Clipping and a step over 8 million parameters: flat against tch's own
    /// optimiser on 200 tensors.
    fn adamw(&mut self) -> Result<(), Error> {
        const TENSORS: i64 = 200;
        const SIZE: i64 = 40_000;
        let name = format!("adamw_with_clipping/{}", TENSORS * SIZE);
        let (mut param, grad) = (random(&[TENSORS * SIZE]), random(&[TENSORS * SIZE]));
        let options = AdamWOptions {
            weight_decay: 0.01,
            ..AdamWOptions::default()
        };
        let vars = nn::VarStore::new(Device::Cpu);
        let mut loss = Tensor::zeros([], CPU);
        for n in 0..TENSORS {
            let tensor = vars
                .root()
                .f_var(&n.to_string(), &[SIZE], nn::Init::Const(0.0))?;
            loss += (tensor * random(&[SIZE])).sum(Kind::Float);
        }
        let mut optimizer = nn::AdamW::default().build(&vars, 1e-3)?;
        loss.backward();
        let mut group = self.criterion.benchmark_group(&name);
        group.throughput(Throughput::Elements((TENSORS * SIZE).unsigned_abs()));
        for (case, step) in [
            (
                FORMS[0],
                adamw_flat
                    as fn(
                        &mut AdamWState,
                        &mut Tensor,
                        &Tensor,
                        &AdamWOptions,
                        Option<&Tensor>,
                    ) -> _,
            ),
            (FORMS[1], slow::adamw_flat),
        ] {
            let mut state = AdamWState::new(&param)?;
            self.record.measure(&mut group, &name, case, || {
                let clip = grad_norm(&grad)
                    .and_then(|norm| clip_coefficient(&norm, 1.0))
                    .expect("clip");
                step(&mut state, &mut param, &grad, &options, Some(&clip)).expect("adamw_flat");
            });
        }
        self.record.measure(&mut group, &name, "tch", || {
            optimizer.clip_grad_norm(1.0);
            optimizer.step();
        });
        group.finish();
        self.lines.push((name, FORMS[0], vec![FORMS[1], "tch"]));
        Ok(())
    }
}

fn main() -> Result<(), Error> {
    let mut criterion = Criterion::default()
        .sample_size(15)
        .warm_up_time(std::time::Duration::from_millis(150))
        .measurement_time(std::time::Duration::from_millis(400))
        .without_plots()
        .configure_from_args();
    tch::manual_seed(1);
    let mut bench = Bench {
        criterion: &mut criterion,
        record: Record::default(),
        lines: Vec::new(),
    };
    for shape in [BASE, MINILM, LARGE] {
        // About 620 tokens either way; scoring sizes for the encoder in the quickstart.
        for (lengths, sequences) in [(Lengths::Mean40, 16), (Lengths::Full128, 5)] {
            let work = Work::new(shape, lengths, sequences)?;
            bench.layer_norm(&work);
            bench.attention(&work);
            bench.rows(&work);
            bench.embedding(&work);
        }
        bench.heads(&Work::new(shape, Lengths::Mean40, 32)?);
    }
    let scoring = Work::new(MINILM, Lengths::Mean40, 128)?;
    bench.layer_norm(&scoring);
    bench.attention(&scoring);
    bench.rows(&scoring);
    bench.adamw()?;
    let Bench { record, lines, .. } = bench;
    println!(
        "\nmedians (and fastest samples) of this run, {} threads, {:?}",
        num_threads()?,
        cpu_isa()
    );
    for (name, case, others) in lines {
        record.print_ratios(&name, case, &others);
    }
    criterion.final_summary();
    Ok(())
}
