//! Asking for a GPU where something is missing: the error names it and the remedy,
//! and nothing is computed elsewhere instead.

use camtl_ops::{OpsError, open_cuda, top_scores};
use tch::{Device, Tensor};

#[test]
fn a_missing_gpu_is_named_with_its_remedy() {
    match open_cuda(0) {
        Ok(device) => assert_eq!(device, Device::Cuda(0)),
        Err(OpsError::Cuda { message, remedy }) => {
            let known = [
                "libtorch_cuda.so",
                "kernels' library",
                "driver",
                "GPU",
                "libcamtl_cuda.so",
            ];
            assert!(known.iter().any(|part| message.contains(part)), "{message}");
            assert!(!remedy.is_empty());
            // The answer stays the same: what failed is not tried again at every call.
            assert_eq!(open_cuda(0), Err(OpsError::Cuda { message, remedy }));
        }
        Err(other) => panic!("not an error about CUDA: {other}"),
    }
}

#[test]
fn a_gpu_that_does_not_exist_is_refused() {
    assert!(matches!(open_cuda(4096), Err(OpsError::Cuda { .. })));
}

#[test]
fn top_scores_rank_by_value_then_index() {
    let scores = Tensor::from_slice(&[1f32, 3., f32::NAN, 3., -2.]);
    let indices = |n| Vec::<i64>::try_from(top_scores(&scores, n).unwrap()).unwrap();
    assert_eq!(indices(5), [1, 3, 0, 4, 2]);
    assert_eq!(indices(1), [1]);
    assert!(indices(0).is_empty());
    assert!(top_scores(&scores, 6).is_err() && top_scores(&scores, -1).is_err());
    assert!(top_scores(&Tensor::from_slice(&[1f32]).view([1, 1]), 1).is_err());
}
