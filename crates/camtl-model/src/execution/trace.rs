//! Everything a forward pass computes on its way, for comparison with a reference.

use tch::Tensor;

/// Intermediate values of [`Model::forward_traced`](crate::Model::forward_traced), all rows
/// computed: N packed tokens, width D.
#[derive(Debug, Default)]
pub struct Trace {
    /// Embeddings after their norm and before the alignment, [N, D].
    pub embedding_output: Option<Tensor>,
    /// Entry 0: embeddings after the alignment; entry i: output of layer i-1; [N, D] each. In
    /// CA-MTL base the last is after the bottleneck; in CA-MTL large the skip path is not in them.
    pub hidden_states: Vec<Tensor>,
    /// Attention block of each layer after its residual and norm, [N, D].
    pub attention_outputs: Vec<Tensor>,
    /// CA-MTL base: what the bottleneck of the top layer reads, the layer's own output, [N, D].
    pub adapter_input: Option<Tensor>,
    /// CA-MTL base: bottleneck of the top layer before its residual, [N, D].
    pub adapter_bottleneck: Option<Tensor>,
    /// CA-MTL large: the skip path after each layer, [N, D].
    pub skip_path: Vec<Tensor>,
    /// What the encoder returns, [N, D].
    pub sequence_output: Option<Tensor>,
    /// Pooler on the first tokens, [B, D].
    pub pooled: Option<Tensor>,
}
