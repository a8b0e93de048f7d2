//! The parts of libtorch's run time that only a whole process can be asked about.

use camtl_ops::{
    AutocastGuard, deterministic, num_threads, rng_state, set_deterministic, set_grad_view,
    set_num_threads, set_rng_state,
};
use tch::{Device, Kind, Tensor};

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

#[test]
fn generator_state_comes_back_through_bytes() {
    let state = rng_state().unwrap();
    let bytes = Vec::<u8>::try_from(&state).unwrap();
    let first = Tensor::randn([7], CPU);
    let _ = Tensor::randn([100], CPU);
    set_rng_state(&Tensor::from_slice(&bytes)).unwrap();
    assert_eq!(first, Tensor::randn([7], CPU));
}

#[test]
fn gradients_add_up_in_the_view() {
    let flat = Tensor::zeros([5], CPU);
    let mut w = Tensor::ones([3], CPU).set_requires_grad(true);
    set_grad_view(&mut w, &flat.narrow(0, 2, 3)).unwrap();
    for _ in 0..2 {
        (&w * &w).sum(Kind::Float).backward();
    }
    assert_eq!(Vec::<f32>::try_from(&flat).unwrap(), [0., 0., 4., 4., 4.]);
}

#[test]
fn autocast_nests_and_ends_on_a_panic() {
    let x = Tensor::ones([2, 2], CPU);
    let outer = AutocastGuard::new(Device::Cpu, Kind::BFloat16).unwrap();
    {
        let _inner = AutocastGuard::new(Device::Cpu, Kind::BFloat16).unwrap();
        assert_eq!(x.matmul(&x).kind(), Kind::BFloat16);
    }
    assert_eq!(x.matmul(&x).kind(), Kind::BFloat16);
    drop(outer);
    assert_eq!(x.matmul(&x).kind(), Kind::Float);
    let _ = std::panic::catch_unwind(|| {
        let _guard = AutocastGuard::new(Device::Cpu, Kind::BFloat16).unwrap();
        std::panic::resume_unwind(Box::new("stopped"));
    });
    assert_eq!(x.matmul(&x).kind(), Kind::Float);
}

#[test]
fn determinism_and_threads_can_be_read_back() {
    set_deterministic(true).unwrap();
    assert!(deterministic().unwrap());
    set_deterministic(false).unwrap();
    assert!(!deterministic().unwrap());
    let before = num_threads().unwrap();
    set_num_threads(1).unwrap();
    assert_eq!(num_threads().unwrap(), 1);
    set_num_threads(before).unwrap();
}
