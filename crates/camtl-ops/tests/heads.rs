//! The heads against sums and exponentials in float64, written out.

mod support;

use camtl_ops::{Head, Targets};
use support::{FORMS, Random, assert_close, packing, vec64};
use tch::{Device, Kind, Tensor};

#[test]
fn heads_give_logits_losses_and_entropies() {
    // Tasks out of order: results still come back in batch order.
    let layout = packing(&[1; 5], &[2, 0, 1, 0, 2]);
    let mut random = Random::new(12);
    let pooled = random.tensor(&[5, 4], 1.0, Kind::Double);
    let (w0, b0) = (
        random.tensor(&[3, 4], 1.0, Kind::Double),
        random.tensor(&[3], 1.0, Kind::Double),
    );
    let (w1, b1) = (
        random.tensor(&[1, 4], 1.0, Kind::Double),
        random.tensor(&[1], 1.0, Kind::Double),
    );
    let (w2, b2) = (
        random.tensor(&[2, 4], 1.0, Kind::Double),
        random.tensor(&[2], 1.0, Kind::Double),
    );
    let heads = [
        Head {
            weight: &w0,
            bias: &b0,
            regression: false,
        },
        Head {
            weight: &w1,
            bias: &b1,
            regression: true,
        },
        Head {
            weight: &w2,
            bias: &b2,
            regression: false,
        },
    ];
    let targets = Targets::new(&[1, 2, 0, -100, 0], &[0., 0., 2.5, 0., 0.], Device::Cpu).unwrap();
    let tables = [
        (vec64(&w0), vec64(&b0)),
        (vec64(&w1), vec64(&b1)),
        (vec64(&w2), vec64(&b2)),
    ];
    let x = vec64(&pooled);
    let say = |b: usize, t: usize| -> Vec<f64> {
        let (w, bias) = &tables[t];
        bias.iter()
            .enumerate()
            .map(|(c, bias)| bias + (0..4).map(|d| w[c * 4 + d] * x[b * 4 + d]).sum::<f64>())
            .collect()
    };
    let (mut losses, mut entropies) = (Vec::new(), Vec::new());
    for (b, (t, class)) in [(2, 1), (0, 2), (1, -1), (0, -1), (2, 0)]
        .into_iter()
        .enumerate()
    {
        let z = say(b, t);
        let total: f64 = z.iter().map(|z| z.exp()).sum();
        let p: Vec<f64> = z.iter().map(|z| z.exp() / total).collect();
        entropies.push(if t == 1 {
            0.0
        } else {
            -p.iter().map(|p| p * p.ln()).sum::<f64>()
        });
        losses.push(match (t, class) {
            (1, _) => (z[0] - 2.5).powi(2),
            (_, -1) => 0.0,
            (_, class) => -p[class as usize].ln(),
        });
    }
    for form in FORMS {
        let output = (form.heads)(&pooled, &heads, &layout, Some(&targets)).unwrap();
        assert_close(
            form.name,
            &output.loss.unwrap(),
            &Tensor::from_slice(&losses),
            1e-12,
        );
        assert_close(
            form.name,
            &output.entropy,
            &Tensor::from_slice(&entropies),
            1e-12,
        );
        let order: Vec<usize> = output.logits.iter().map(|(task, _)| *task).collect();
        assert_eq!(order, [2, 0, 1]);
        for (task, rows) in [(0, vec![1, 3]), (1, vec![2]), (2, vec![0, 4])] {
            let want: Vec<f64> = rows.iter().flat_map(|b| say(*b, task)).collect();
            let (_, got) = output.logits.iter().find(|(t, _)| *t == task).unwrap();
            assert_close(
                form.name,
                &got.reshape(-1),
                &Tensor::from_slice(&want),
                1e-12,
            );
        }
        assert!(
            (form.heads)(&pooled, &heads, &layout, None)
                .unwrap()
                .loss
                .is_none()
        );
    }
}

#[test]
fn certain_predictions_have_entropy_zero() {
    let layout = packing(&[1], &[0]);
    let pooled = Tensor::from_slice(&[1f32]).reshape([1, 1]);
    let weight = Tensor::from_slice(&[2000f32, -2000., 0.]).reshape([3, 1]);
    let bias = Tensor::zeros([3], (Kind::Float, Device::Cpu));
    let heads = [Head {
        weight: &weight,
        bias: &bias,
        regression: false,
    }];
    for form in FORMS {
        let output = (form.heads)(&pooled, &heads, &layout, None).unwrap();
        assert_eq!(vec64(&output.entropy), [0.0], "{}", form.name);
    }
}
