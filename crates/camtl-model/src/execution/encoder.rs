//! The forward pass of the encoder over a packed batch.
//!
//! One [`Pass`] holds what does not change on the way: parameters, modulation, layout, dropout. Its
//! equations are those of docs/method.md on top of a post-norm BERT. If only first tokens are
//! read afterwards, the last layer after its attention and all bottlenecks beside the layers are
//! computed for first tokens alone; values and gradients are the same.

use camtl_ops::{
    Dropout, DropoutStream, Embedding, Packing, Qkv, Queries, cond_attention, cond_layer_norm,
    embed_norm_film, film, gelu_bias,
};
use tch::Tensor;

use crate::config::Activation;
use crate::config::BottleneckResidual;
use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::execution::ModelInput;
use crate::execution::Trace;
use crate::execution::invariance as tiles;
use crate::modules::{Film, Modulation, NormRows};
use crate::parameters::ParameterStore;
use crate::parameters::{Block, LayerNames};

/// Which rows of the encoder's output are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    All,
    FirstTokens,
}

/// Hidden states with the layout of their rows.
struct Hidden<'a> {
    rows: Tensor,
    layout: &'a Packing,
}

/// What the encoder returns.
pub(crate) struct EncoderOutput {
    /// [B, D]: first token of every sequence.
    pub(crate) first: Tensor,
    /// [N, D], if all rows were asked for.
    pub(crate) sequence: Option<Tensor>,
}

pub(crate) struct Pass<'a> {
    pub(crate) config: &'a ModelConfig,
    pub(crate) store: &'a ParameterStore,
    pub(crate) modulation: &'a Modulation,
    pub(crate) input: &'a ModelInput,
    /// Layout of the first tokens alone.
    pub(crate) first_tokens: &'a Packing,
    pub(crate) dropout: Option<&'a mut DropoutStream>,
    /// Whether no sequence's numbers may depend on the others.
    pub(crate) batch_invariant: bool,
    /// Whether products take the store's bfloat16 copies.
    pub(crate) lowered: bool,
    pub(crate) rows: Rows,
    pub(crate) trace: Option<&'a mut Trace>,
}

impl<'a> Pass<'a> {
    pub(crate) fn run(mut self) -> Result<EncoderOutput, ModelError> {
        let layers = self.config.encoder.num_hidden_layers;
        let mut hidden = Hidden {
            rows: self.embed()?,
            layout: &self.input.packing,
        };
        let mut stream: Option<Tensor> = None;
        for index in 0..layers {
            let last = index + 1 == layers;
            hidden = self.layer(hidden, index, last)?;
            if self.config.method.has_skip_path() {
                stream = Some(self.skip(&hidden, stream, index)?);
            }
            if let Some(trace) = self.trace.as_deref_mut() {
                trace.hidden_states.push(hidden.rows.shallow_clone());
                trace
                    .skip_path
                    .extend(stream.as_ref().map(Tensor::shallow_clone));
            }
        }
        let output = match stream {
            None => hidden.rows,
            Some(stream) => match self.config.method.bottleneck_residual {
                BottleneckResidual::Released => stream,
                BottleneckResidual::LayerOutput => hidden.rows.f_add(&stream)?,
            },
        };
        Ok(match self.rows {
            Rows::FirstTokens => EncoderOutput {
                first: output,
                sequence: None,
            },
            Rows::All => EncoderOutput {
                first: output.f_index_select(0, self.input.packing.first_rows())?,
                sequence: Some(output),
            },
        })
    }

    fn hidden_dropout(&mut self) -> Option<Dropout> {
        let p = self.config.encoder.hidden_dropout_prob;
        self.dropout
            .as_deref_mut()
            .and_then(|stream| stream.next_with(p))
    }

    fn attention_dropout(&mut self) -> Option<Dropout> {
        let p = self.config.encoder.attention_probs_dropout_prob;
        self.dropout
            .as_deref_mut()
            .and_then(|stream| stream.next_with(p))
    }

    /// `FiLM(dropout(LN(word + position + segment)))`.
    fn embed(&mut self) -> Result<Tensor, ModelError> {
        let dropout = self.hidden_dropout();
        let encoder = &self.config.encoder;
        let table = |part: &str| self.store.tracked(&format!("bert.embeddings.{part}"));
        let offset = encoder.position_offset();
        let shifted;
        let position_ids = if offset == 0 {
            &self.input.position_ids
        } else {
            shifted = self.input.position_ids.f_add_scalar(offset)?;
            &shifted
        };
        let (word, position) = (
            table("word_embeddings.weight")?,
            table("position_embeddings.weight")?,
        );
        let token_type = table("token_type_embeddings.weight")?;
        let (weight, bias) = (table("LayerNorm.weight")?, table("LayerNorm.bias")?);
        let embedding = Embedding {
            input_ids: &self.input.input_ids,
            token_type_ids: &self.input.token_type_ids,
            position_ids,
            word: &word,
            token_type: &token_type,
            position: &position,
            weight: &weight,
            bias: &bias,
            eps: encoder.layer_norm_eps,
        };
        let packing = &self.input.packing;
        let alignment = self
            .modulation
            .alignment
            .as_ref()
            .map(|film| (&film.gamma, &film.beta));
        let Some(trace) = self.trace.as_deref_mut() else {
            return Ok(embed_norm_film(&embedding, alignment, dropout, packing)?);
        };
        // The trace shows both sides of the alignment.
        let before = embed_norm_film(&embedding, None, dropout, packing)?;
        let after = match alignment {
            Some((gamma, beta)) => film(&before, gamma, beta, packing)?,
            None => before.shallow_clone(),
        };
        trace.embedding_output = Some(before);
        trace.hidden_states.push(after.shallow_clone());
        Ok(after)
    }

    fn layer(
        &mut self,
        hidden: Hidden<'a>,
        index: i64,
        last: bool,
    ) -> Result<Hidden<'a>, ModelError> {
        let config = self.config;
        let names = LayerNames::new(&config.method, &config.encoder, index);
        let modulation = &self.modulation.layers[index as usize];
        let tail = last && self.rows == Rows::FirstTokens;

        let attended = self.attention(&hidden.rows, index, last, tail, &names)?;
        let (residual, layout) = if tail {
            let first = hidden
                .rows
                .f_index_select(0, self.input.packing.first_rows())?;
            (first, self.first_tokens)
        } else {
            (hidden.rows, hidden.layout)
        };
        let projected = self.linear(&attended, &format!("{}.output.dense", names.attention))?;
        let attention_output = self.norm(
            &projected,
            &residual,
            &format!("{}.output.LayerNorm", names.attention),
            modulation.attention_norm.as_ref(),
            true,
            layout,
        )?;
        let inner = self.feed_forward(&attention_output, &names.intermediate)?;
        let projected = self.linear(&inner, &format!("{}.dense", names.output))?;
        let mut output = self.norm(
            &projected,
            &attention_output,
            &format!("{}.LayerNorm", names.output),
            modulation.output_norm.as_ref(),
            true,
            layout,
        )?;
        if config.method.has_base_bottleneck(&config.encoder, index) {
            let name = format!("{}.bottleneck", names.adapter);
            let adapted =
                self.bottleneck(&output, &name, modulation.bottleneck.as_ref(), layout)?;
            if let Some(trace) = self.trace.as_deref_mut() {
                trace.adapter_input = Some(output.shallow_clone());
                trace.adapter_bottleneck = Some(adapted.shallow_clone());
            }
            output = match config.method.bottleneck_residual {
                BottleneckResidual::LayerOutput => output.f_add(&adapted)?,
                BottleneckResidual::Released => self.norm(
                    &adapted,
                    &attention_output,
                    &format!("{}.condlayernorm", names.adapter),
                    modulation.adapter_norm.as_ref(),
                    false,
                    layout,
                )?,
            };
        }
        if let Some(trace) = self.trace.as_deref_mut() {
            trace.attention_outputs.push(attention_output);
        }
        Ok(Hidden {
            rows: output,
            layout,
        })
    }

    fn attention(
        &mut self,
        x: &Tensor,
        index: i64,
        last: bool,
        tail: bool,
        names: &LayerNames,
    ) -> Result<Tensor, ModelError> {
        let dropout = self.attention_dropout();
        let heads = self.config.encoder.num_attention_heads;
        let packing = &self.input.packing;
        let projected = self
            .store
            .linear_of_blocks(Block::QkvWeight(index), Block::QkvBias(index), self.lowered)?
            .apply(x, self.tile())?;
        let band = self.modulation.layers[index as usize].band.as_ref();
        if !last {
            let qkv = Qkv::Joint(&projected);
            return Ok(cond_attention(
                qkv,
                heads,
                band,
                dropout,
                packing,
                Queries::All,
            )?);
        }
        let name = format!("{}.self.query", names.attention);
        let (q, queries) = if tail {
            let first = x.f_index_select(0, packing.first_rows())?;
            (self.linear(&first, &name)?, Queries::FirstTokens)
        } else {
            (self.linear(x, &name)?, Queries::All)
        };
        let mut halves = projected.f_chunk(2, 1)?.into_iter();
        let (Some(k), Some(v)) = (halves.next(), halves.next()) else {
            return Err(ModelError::Input(format!(
                "`{name}` has no keys and values"
            )));
        };
        let qkv = Qkv::Separate {
            q: &q,
            k: &k,
            v: &v,
        };
        Ok(cond_attention(qkv, heads, band, dropout, packing, queries)?)
    }

    fn linear(&self, x: &Tensor, name: &str) -> Result<Tensor, ModelError> {
        self.store.linear(name, self.lowered)?.apply(x, self.tile())
    }

    fn feed_forward(&self, x: &Tensor, name: &str) -> Result<Tensor, ModelError> {
        let map = self.store.linear(name, self.lowered)?;
        Ok(match self.config.encoder.hidden_act {
            Activation::Gelu => gelu_bias(&map.apply_without_bias(x, self.tile())?, &map.bias)?,
            Activation::GeluTanh => map.apply(x, self.tile())?.f_gelu("tanh")?,
            Activation::Relu => map.apply(x, self.tile())?.f_relu()?,
        })
    }

    /// Rows of one tile, if the pass is to be batch-invariant.
    fn tile(&self) -> Option<i64> {
        self.batch_invariant.then_some(tiles::ROWS)
    }

    /// `LN(dropout(x) + residual)` with the task's weight where there is one.
    fn norm(
        &mut self,
        x: &Tensor,
        residual: &Tensor,
        name: &str,
        rows: Option<&NormRows>,
        with_dropout: bool,
        layout: &Packing,
    ) -> Result<Tensor, ModelError> {
        let dropout = if with_dropout {
            self.hidden_dropout()
        } else {
            None
        };
        let eps = self.config.encoder.layer_norm_eps;
        let residual = Some(residual);
        Ok(match rows {
            Some(rows) => {
                cond_layer_norm(x, residual, &rows.weight, &rows.bias, eps, dropout, layout)?
            }
            None => {
                let weight = self.store.tracked(&format!("{name}.weight"))?;
                let bias = self.store.tracked(&format!("{name}.bias"))?;
                cond_layer_norm(x, residual, &weight, &bias, eps, dropout, layout)?
            }
        })
    }

    /// `up(down(FiLM(x)))`, without an activation.
    fn bottleneck(
        &self,
        x: &Tensor,
        name: &str,
        modulation: Option<&Film>,
        layout: &Packing,
    ) -> Result<Tensor, ModelError> {
        let modulated = match modulation {
            Some(rows) => film(x, &rows.gamma, &rows.beta, layout)?,
            None => x.shallow_clone(),
        };
        let narrow = self.linear(&modulated, &format!("{name}.down_proj_layer"))?;
        self.linear(&narrow, &format!("{name}.up_proj_layer"))
    }

    /// `s_j = bottleneck_j(h_j + s_{j-1})`, for first tokens alone if only they are needed.
    fn skip(
        &self,
        hidden: &Hidden<'_>,
        stream: Option<Tensor>,
        index: i64,
    ) -> Result<Tensor, ModelError> {
        let whole = std::ptr::eq(hidden.layout, &raw const self.input.packing);
        let (rows, layout) = if whole && self.rows == Rows::FirstTokens {
            let first = hidden
                .rows
                .f_index_select(0, self.input.packing.first_rows())?;
            (first, self.first_tokens)
        } else {
            (hidden.rows.shallow_clone(), hidden.layout)
        };
        let x = match stream {
            Some(stream) => rows.f_add(&stream)?,
            None => rows,
        };
        let name = format!("bert.encoder.adapter_layer.{index}");
        let modulation = self.modulation.layers[index as usize].bottleneck.as_ref();
        self.bottleneck(&x, &name, modulation, layout)
    }
}
