//! A gradient against what the loss does when the parameters move.

use camtl_model::Model;
use tch::{Kind, Tensor, no_grad};

/// Along `times` directions near the gradient of all parameters, the loss changes as the gradient says.
/// The directions hug the gradient, so that a float32 model's rounding does not drown the change.
/// The parameters are as before afterwards; the gradient is expected in the flat buffer.
pub(crate) fn check(model: &Model, loss: impl Fn() -> Tensor, seed: i64, times: usize, what: &str) {
    let parameters = model.parameters();
    let gradient = parameters.flat_grad().to_kind(Kind::Double);
    let flat = parameters.flat();
    let start = flat.copy();
    let step = 1e-3;
    let at = |moved: &Tensor| {
        no_grad(|| {
            flat.shallow_clone().copy_(&(&start + moved));
            loss().double_value(&[])
        })
    };
    tch::manual_seed(seed);
    for _ in 0..times {
        let noise = Tensor::randn_like(&gradient);
        let direction = &gradient / gradient.norm() + &noise / noise.norm() * 0.5;
        let moved = |sign: f64| (&direction * (sign * step)).to_kind(Kind::Float);
        let numeric = (at(&moved(1.0)) - at(&moved(-1.0))) / (2.0 * step);
        let exact = (&gradient * &direction).sum(Kind::Double).double_value(&[]);
        let error = (numeric - exact).abs() / exact.abs().max(1e-3);
        assert!(error < 1e-2, "{what}: {numeric} against {exact}");
    }
    no_grad(|| flat.shallow_clone().copy_(&start));
}
