//! The forward pass of an encoder over a packed batch, with what the task modules do on the way.
//!
//! Equations are those of docs/method.md. If only first tokens are read afterwards, the last layer
//! after its attention and all bottlenecks beside the layers are computed for first tokens alone;
//! values and gradients are the same.

use camtl_ops::{
    Embedding, Packing, Qkv, Queries, cond_attention, embed_norm_film, film, gelu_bias,
    token_dropout,
};
use tch::Tensor;

use crate::arch::{BlockOrder, Encoder, Layer};
use crate::config::Activation;
use crate::error::ModelError;
use crate::execution::modulation::{LayerModulation, NormRows};
use crate::execution::pass::{Hidden, Pass, Rows};
use crate::modules::{Carried, Products, Sublayer, TaskModule};
use crate::parameters::build::Map;
use crate::parameters::spec::{Block, LinearId, NormId};

/// What the encoder returns.
pub(crate) struct EncoderOutput {
    /// [B, D]: first token of every sequence.
    pub(crate) first: Tensor,
    /// [N, D], if all rows were asked for.
    pub(crate) sequence: Option<Tensor>,
}

/// A pass through `encoder` with its task modules.
pub(crate) struct Forward<'a> {
    pass: Pass<'a>,
    encoder: &'a Encoder,
    modules: &'a [Box<dyn TaskModule>],
    /// What each module carries from layer to layer.
    carried: Vec<Carried>,
}

impl<'a> Forward<'a> {
    pub(crate) fn new(
        pass: Pass<'a>,
        encoder: &'a Encoder,
        modules: &'a [Box<dyn TaskModule>],
    ) -> Self {
        Forward {
            pass,
            encoder,
            modules,
            carried: modules.iter().map(|_| None).collect(),
        }
    }

    pub(crate) fn run(mut self) -> Result<EncoderOutput, ModelError> {
        let mut hidden = Hidden {
            rows: self.embed()?,
            layout: &self.pass.input.packing,
        };
        for index in 0..self.encoder.layers.len() {
            hidden = self.layer(hidden, index)?;
            if let Some(trace) = self.pass.trace.as_deref_mut() {
                trace.hidden_states.push(hidden.rows.shallow_clone());
            }
        }
        for (module, carried) in self.modules.iter().zip(&self.carried) {
            hidden.rows = module.after_encoder(&mut self.pass, hidden.rows, carried)?;
        }
        if let Some(id) = self.encoder.final_norm {
            hidden.rows = self
                .pass
                .norm(&hidden.rows, None, id, None, None, hidden.layout)?;
        }
        let output = hidden.rows;
        Ok(match self.pass.rows {
            Rows::FirstTokens => EncoderOutput {
                first: output,
                sequence: None,
            },
            Rows::All => EncoderOutput {
                first: self.pass.first_rows(&output)?,
                sequence: Some(output),
            },
        })
    }

    /// `FiLM(dropout(LN(word + position + segment)))`.
    fn embed(&mut self) -> Result<Tensor, ModelError> {
        let dropout = self.pass.hidden_dropout();
        let pass = &mut self.pass;
        let ids = self.encoder;
        let offset = pass.config.encoder.position_offset();
        let shifted;
        let position_ids = if offset == 0 {
            &pass.input.position_ids
        } else {
            shifted = pass.input.position_ids.f_add_scalar(offset)?;
            &shifted
        };
        let (word, position) = (
            pass.store.tracked(ids.word)?,
            pass.store.tracked(ids.position)?,
        );
        let token_type = pass.store.tracked(ids.token_type)?;
        let weight = pass.store.tracked(ids.embedding_norm.weight)?;
        let bias = pass.store.tracked(ids.embedding_norm.bias)?;
        let embedding = Embedding {
            input_ids: &pass.input.input_ids,
            token_type_ids: &pass.input.token_type_ids,
            position_ids,
            word: &word,
            token_type: &token_type,
            position: &position,
            weight: &weight,
            bias: &bias,
            eps: pass.config.encoder.layer_norm_eps,
        };
        let packing = &pass.input.packing;
        let alignment = pass.modulation.alignment.as_ref();
        let alignment = alignment.map(|film| (&film.gamma, &film.beta));
        let Some(trace) = pass.trace.as_deref_mut() else {
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

    fn layer(&mut self, input: Hidden<'a>, index: usize) -> Result<Hidden<'a>, ModelError> {
        let ids = &self.encoder.layers[index];
        let modulation = &self.pass.modulation.layers[index];
        let last = index + 1 == self.encoder.layers.len();
        let tail = last && self.pass.rows == Rows::FirstTokens;

        let norm = (ids.attention_norm, modulation.attention_norm.as_ref());
        let read = self.before(&input.rows, norm, input.layout)?;
        let attended = self.attention(&read, index, ids, modulation, tail)?;
        let (residual, layout) = if tail {
            let needed = self.pass.needed(&input)?;
            (needed.rows, needed.layout)
        } else {
            (input.rows.shallow_clone(), input.layout)
        };
        let map = (Map::AttentionOutput, ids.attention_output);
        let mut projected = self.linear(&attended, index, map, layout)?;
        for module in self.modules {
            let at = Sublayer { index, layout };
            projected = module.after_attention(&mut self.pass, at, projected)?;
        }
        let attention_output = self.after(&projected, &residual, norm, layout)?;

        let norm = (ids.output_norm, modulation.output_norm.as_ref());
        let read = self.before(&attention_output, norm, layout)?;
        let inner = self.feed_forward(&read, index, ids.intermediate, layout)?;
        let mut projected = self.linear(&inner, index, (Map::Output, ids.output), layout)?;
        for module in self.modules {
            let at = Sublayer { index, layout };
            projected = module.after_feed_forward(&mut self.pass, at, projected)?;
            projected = module.beside_layer(&mut self.pass, at, &input, projected)?;
        }
        let mut output = Hidden {
            rows: self.after(&projected, &attention_output, norm, layout)?,
            layout,
        };
        for (module, carried) in self.modules.iter().zip(&mut self.carried) {
            output.rows =
                module.after_layer(&mut self.pass, index, &output, &attention_output, carried)?;
        }
        if let Some(trace) = self.pass.trace.as_deref_mut() {
            trace.attention_outputs.push(attention_output);
        }
        Ok(output)
    }

    /// What a sublayer reads of `x`.
    fn before(
        &self,
        x: &Tensor,
        (id, rows): (NormId, Option<&NormRows>),
        layout: &Packing,
    ) -> Result<Tensor, ModelError> {
        match self.encoder.order {
            BlockOrder::PostNorm => Ok(x.shallow_clone()),
            BlockOrder::PreNorm => self.pass.norm(x, None, id, rows, None, layout),
        }
    }

    /// What becomes of a sublayer's product `x` and of what it started from.
    fn after(
        &mut self,
        x: &Tensor,
        residual: &Tensor,
        (id, rows): (NormId, Option<&NormRows>),
        layout: &Packing,
    ) -> Result<Tensor, ModelError> {
        let dropout = self.pass.hidden_dropout();
        match self.encoder.order {
            BlockOrder::PostNorm => self.pass.norm(x, Some(residual), id, rows, dropout, layout),
            BlockOrder::PreNorm => Ok(match dropout {
                Some(dropout) => token_dropout(x, &dropout, layout)?.f_add(residual)?,
                None => x.f_add(residual)?,
            }),
        }
    }

    fn attention(
        &mut self,
        x: &Tensor,
        index: usize,
        ids: &Layer,
        modulation: &LayerModulation,
        tail: bool,
    ) -> Result<Tensor, ModelError> {
        let dropout = self.pass.attention_dropout();
        let heads = self.pass.config.encoder.num_attention_heads;
        let packing = &self.pass.input.packing;
        let last = index + 1 == self.encoder.layers.len();
        let layer = index as i64;
        let (weight, bias) = (Block::QkvWeight(layer), Block::QkvBias(layer));
        let projected = self.pass.linear_of_blocks(x, weight, bias)?;
        let maps: &[Map] = match last {
            true => &[Map::Key, Map::Value],
            false => &[Map::Query, Map::Key, Map::Value],
        };
        let projected = self.products(x, index, maps, projected, packing)?;
        let band = modulation.band.as_ref();
        if !last {
            let qkv = Qkv::Joint(&projected);
            let all = Queries::All;
            return Ok(cond_attention(qkv, heads, band, dropout, packing, all)?);
        }
        let map = (Map::Query, ids.query);
        let (q, queries) = if tail {
            let first = self.pass.first_rows(x)?;
            let layout = &self.pass.input.first_tokens;
            (
                self.linear(&first, index, map, layout)?,
                Queries::FirstTokens,
            )
        } else {
            (self.linear(x, index, map, packing)?, Queries::All)
        };
        let mut halves = projected.f_chunk(2, 1)?.into_iter();
        let (Some(k), Some(v)) = (halves.next(), halves.next()) else {
            return Err(ModelError::Input(
                "the last layer has no keys and values".into(),
            ));
        };
        let qkv = Qkv::Separate {
            q: &q,
            k: &k,
            v: &v,
        };
        Ok(cond_attention(qkv, heads, band, dropout, packing, queries)?)
    }

    /// A linear map of the encoder with what modules add to it.
    fn linear(
        &mut self,
        x: &Tensor,
        index: usize,
        (map, id): (Map, LinearId),
        layout: &Packing,
    ) -> Result<Tensor, ModelError> {
        let y = self.pass.linear(x, id)?;
        self.products(x, index, &[map], y, layout)
    }

    fn products(
        &mut self,
        x: &Tensor,
        index: usize,
        maps: &[Map],
        mut y: Tensor,
        layout: &Packing,
    ) -> Result<Tensor, ModelError> {
        for module in self.modules {
            let at = Products {
                index,
                maps,
                layout,
            };
            y = module.after_linear(&mut self.pass, at, x, y)?;
        }
        Ok(y)
    }

    fn feed_forward(
        &mut self,
        x: &Tensor,
        index: usize,
        id: LinearId,
        layout: &Packing,
    ) -> Result<Tensor, ModelError> {
        let whole = (Map::Intermediate, id);
        Ok(match self.pass.config.encoder.hidden_act {
            Activation::Gelu => {
                let map = self.pass.map(id)?;
                let y = map.apply_without_bias(x, self.pass.tile())?;
                let y = self.products(x, index, &[Map::Intermediate], y, layout)?;
                gelu_bias(&y, &map.bias)?
            }
            Activation::GeluTanh => self.linear(x, index, whole, layout)?.f_gelu("tanh")?,
            Activation::Relu => self.linear(x, index, whole, layout)?.f_relu()?,
        })
    }
}
