//! Argument checks shared by the operations: each names the operation and the
//! tensor in its error.

use tch::{Kind, Tensor};

use crate::error::{OpsError, Result};
use crate::packing::Packing;

/// Renders a shape with names, e.g. `[N=5, D=8]`.
pub(crate) fn named(dims: &[(&str, i64)]) -> String {
    let parts: Vec<String> = dims
        .iter()
        .map(|(name, size)| {
            if name.is_empty() {
                size.to_string()
            } else {
                format!("{name}={size}")
            }
        })
        .collect();
    format!("[{}]", parts.join(", "))
}

/// `tensor` has exactly the sizes of `dims`.
pub(crate) fn shape(
    op: &'static str,
    name: &str,
    tensor: &Tensor,
    dims: &[(&str, i64)],
) -> Result<()> {
    let size = tensor.size();
    if size.len() == dims.len() && size.iter().zip(dims).all(|(got, (_, want))| got == want) {
        Ok(())
    } else {
        Err(OpsError::shape(op, name, named(dims), tensor))
    }
}

/// `tensor` is `[N, D]` of the packing's rows; gives `D`.
pub(crate) fn rows(
    op: &'static str,
    name: &str,
    tensor: &Tensor,
    packing: &Packing,
) -> Result<i64> {
    match tensor.size()[..] {
        [n, d] if n == packing.num_tokens() => {
            device(op, name, tensor, packing)?;
            floating(op, name, tensor)?;
            Ok(d)
        }
        _ => Err(OpsError::shape(
            op,
            name,
            format!("[N={}, D]", packing.num_tokens()),
            tensor,
        )),
    }
}

/// `tensor` is a table `[T, columns]` with a row for every task of the packing.
pub(crate) fn table(
    op: &'static str,
    name: &str,
    tensor: &Tensor,
    columns: i64,
    packing: &Packing,
) -> Result<()> {
    match tensor.size()[..] {
        [t, d] if d == columns && t >= packing.num_tasks() => device(op, name, tensor, packing),
        _ => Err(OpsError::shape(
            op,
            name,
            format!("[T>={}, {columns}]", packing.num_tasks()),
            tensor,
        )),
    }
}

/// `tensor` is `[columns]`, or a table as in [`table`].
pub(crate) fn vector_or_table(
    op: &'static str,
    name: &str,
    tensor: &Tensor,
    columns: i64,
    packing: &Packing,
) -> Result<()> {
    match tensor.size()[..] {
        [d] if d == columns => device(op, name, tensor, packing),
        [t, d] if d == columns && t >= packing.num_tasks() => device(op, name, tensor, packing),
        _ => Err(OpsError::shape(
            op,
            name,
            format!("[{columns}] or [T>={}, {columns}]", packing.num_tasks()),
            tensor,
        )),
    }
}

/// `tensor` lies on the packing's device.
pub(crate) fn device(
    op: &'static str,
    name: &str,
    tensor: &Tensor,
    packing: &Packing,
) -> Result<()> {
    if tensor.device() == packing.device() {
        Ok(())
    } else {
        Err(OpsError::Device {
            op,
            tensor: name.to_owned(),
            expected: packing.device(),
            got: tensor.device(),
        })
    }
}

/// `tensor` holds floating-point values.
pub(crate) fn floating(op: &'static str, name: &str, tensor: &Tensor) -> Result<()> {
    match tensor.kind() {
        Kind::Float | Kind::Double | Kind::BFloat16 | Kind::Half => Ok(()),
        got => Err(OpsError::Kind {
            op,
            tensor: name.to_owned(),
            expected: "a floating-point type".into(),
            got,
        }),
    }
}

/// `tensor` holds values of `kind`.
pub(crate) fn kind(op: &'static str, name: &str, tensor: &Tensor, expected: Kind) -> Result<()> {
    if tensor.kind() == expected {
        Ok(())
    } else {
        Err(OpsError::Kind {
            op,
            tensor: name.to_owned(),
            expected: format!("{expected:?}"),
            got: tensor.kind(),
        })
    }
}
