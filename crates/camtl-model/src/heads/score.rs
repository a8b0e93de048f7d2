//! Cross-entropy and entropy of rows of logits.

use tch::{Kind, Reduction, Tensor, no_grad};

use crate::error::ModelError;

/// A class that gives no loss.
pub(crate) const NO_CLASS: i64 = camtl_ops::IGNORED_CLASS;

/// Losses are computed in this kind: float32 at least.
pub(crate) fn loss_kind(logits: &Tensor) -> Kind {
    match logits.kind() {
        Kind::Double => Kind::Double,
        _ => Kind::Float,
    }
}

/// Log-probabilities along dimension 1.
pub(crate) fn log_probabilities(logits: &Tensor) -> Result<Tensor, ModelError> {
    Ok(logits.f_log_softmax(1, loss_kind(logits))?)
}

/// `-log p` of each row's class, `[rows]`; 0 where it is [`NO_CLASS`].
pub(crate) fn cross_entropy(log_p: &Tensor, classes: &Tensor) -> Result<Tensor, ModelError> {
    Ok(log_p.f_nll_loss::<&Tensor>(classes, None, Reduction::None, NO_CLASS)?)
}

/// `-Σ p ln p` along dimension 1, without gradient. A NaN stays one.
pub(crate) fn entropy(log_p: &Tensor) -> Result<Tensor, ModelError> {
    no_grad(|| {
        // An impossible alternative has p = 0 and ln p = -inf; its term is 0.
        let terms = log_p.f_exp()?.f_mul(&log_p.f_clamp_min(-1e30)?)?;
        Ok(terms
            .f_sum_dim_intlist(1, false, log_p.kind())?
            .f_neg()?
            .f_detach()?)
    })
}
