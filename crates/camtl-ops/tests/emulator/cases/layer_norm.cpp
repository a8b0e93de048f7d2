// Conditional layer norm against float64.
#include "cases/rows.h"

namespace harness {
namespace {

template <typename T>
void run(const RowShape& shape, std::uint64_t seed) {
  Random random(seed);
  const Batch batch = row_batch(shape, random);
  const DeviceLayout layout(batch, rows_per_segment(shape));
  const auto rows = static_cast<std::size_t>(batch.rows()), columns = static_cast<std::size_t>(shape.columns);
  const auto tables = static_cast<std::size_t>(shape.per_task ? batch.num_tasks : 1);
  Array<T> x(rows * columns), residual(rows * columns), dy(rows * columns);
  Array<float> weight(tables * columns), bias(tables * columns);
  fill_normal(x, random, 2.0, 0.5);
  fill_normal(residual, random);
  fill_normal(dy, random);
  fill_normal(weight, random, 0.3, 1.0);
  fill_normal(bias, random, 0.5);
  const reference::Dropout mask{shape.dropout, random.next()};
  const CamtlDropout dropout = dropout_of(shape.dropout, mask.seed);
  const double eps = 1e-5;
  const std::int64_t stride = shape.per_task ? shape.columns : 0;

  Array<T> y(rows * columns), z(rows * columns), dz(rows * columns), dx(rows * columns);
  Array<float> mean(rows), rstd(rows), dweight(tables * columns), dbias(tables * columns), dx_sums(columns);
  expect(camtl_cuda_layer_norm_forward(layout.get(), type_code<T>(), shape.columns, x.data(),
                                       shape.option ? residual.data() : nullptr, {weight.data(), stride},
                                       {bias.data(), stride}, static_cast<float>(eps), dropout, y.data(), z.data(),
                                       mean.data(), rstd.data(), nullptr) == 0,
         "forward launch failed");
  Array<unsigned char> workspace(camtl_cuda_layer_norm_backward_workspace(layout.get(), shape.columns, shape.option));
  expect(camtl_cuda_layer_norm_backward(layout.get(), type_code<T>(), shape.columns, dy.data(), z.data(), mean.data(),
                                        rstd.data(), {weight.data(), stride}, static_cast<int>(tables),
                                        static_cast<int>(tables), dropout, dz.data(),
                                        shape.dropout > 0.0 ? dx.data() : nullptr, dweight.data(), dbias.data(),
                                        shape.option ? dx_sums.data() : nullptr, workspace.data(), nullptr) == 0,
         "backward launch failed");

  const auto vx = values(x), vr = values(residual), vdy = values(dy), vw = values(weight), vb = values(bias);
  std::vector<double> ey, edz, edx, edw(tables * columns), edb(tables * columns), esums(columns);
  for (std::size_t row = 0; row < rows; ++row) {
    const auto [b, i] = batch.place(static_cast<int>(row));
    const std::size_t table =
        (shape.per_task ? static_cast<std::size_t>(batch.tasks[static_cast<std::size_t>(b)]) : 0) * columns;
    std::vector<double> input(columns), gradient(columns), factor(columns);
    for (std::size_t j = 0; j < columns; ++j) {
      factor[j] = mask.factor(b, 0, i, static_cast<int>(j));
      input[j] = vx[row * columns + j] * factor[j] + (shape.option ? vr[row * columns + j] : 0.0);
    }
    const auto normed = reference::normalise(input, eps);
    for (std::size_t j = 0; j < columns; ++j) {
      const double g = vdy[row * columns + j];
      ey.push_back(normed.normed[j] * vw[table + j] + vb[table + j]);
      edw[table + j] += g * normed.normed[j];
      edb[table + j] += g;
      gradient[j] = g * vw[table + j];
    }
    const auto out = reference::normalise_gradient(normed, gradient);
    for (std::size_t j = 0; j < columns; ++j) {
      edz.push_back(out[j]);
      edx.push_back(out[j] * factor[j]);
      esums[j] += out[j] * factor[j];
    }
  }
  expect_close("layer norm y", values(y), ey, Tolerance<T>::out);
  expect_close("layer norm dz", values(dz), edz, Tolerance<T>::gradient);
  if (shape.dropout > 0.0) expect_close("layer norm dx", values(dx), edx, Tolerance<T>::gradient);
  expect_close("layer norm dweight", values(dweight), edw, Tolerance<T>::sums);
  expect_close("layer norm dbias", values(dbias), edb, 1e-5);
  if (shape.option) expect_close("layer norm dx sums", values(dx_sums), esums, Tolerance<T>::sums);
  y.check_guards("y");
  z.check_guards("z");
  dz.check_guards("dz");
  dx.check_guards("dx");
  mean.check_guards("mean");
  dweight.check_guards("dweight");
  workspace.check_guards("workspace");
}

// Rows that belong to no sequence (the tail of a fixed-size batch) become zeros, and
// a seed in device memory wins over the launch argument.
void tail_rows_and_device_seed() {
  Random random(190);
  Batch batch;
  batch.lengths = {5};
  batch.tasks = {0};
  const DeviceLayout layout(batch);
  CamtlLayout view = *layout.get();
  Array<int> row_sequences(std::vector<int>{0, 0, 0, 0, 0, -1, -1, -1});
  view.row_sequences = row_sequences.data();
  view.num_rows = 8;
  const std::size_t columns = 264;
  Array<float> x(8 * columns), weight(columns), bias(columns), mean(8), rstd(8);
  fill_normal(x, random);
  fill_normal(weight, random);
  fill_normal(bias, random, 1.0, 5.0);
  // What lies in rows of nobody may be anything.
  for (std::size_t i = 5 * columns; i < x.size(); ++i) x[i] = NAN;
  const std::uint64_t seed = 0x123456789abcdefull;
  CamtlDropout from_device = dropout_of(0.3, 1), from_argument = dropout_of(0.3, seed);
  from_device.device_seed = &seed;
  std::vector<double> results[2];
  for (int i = 0; i < 2; ++i) {
    Array<float> y(8 * columns), z(8 * columns);
    expect(camtl_cuda_layer_norm_forward(&view, CAMTL_FLOAT32, static_cast<int>(columns), x.data(), nullptr,
                                         {weight.data(), 0}, {bias.data(), 0}, 1e-5f,
                                         i == 0 ? from_device : from_argument, y.data(), z.data(), mean.data(),
                                         rstd.data(), nullptr) == 0,
           "launch failed");
    results[i] = values(y);
    for (std::size_t at = 5 * columns; at < results[i].size(); ++at) {
      expect(results[i][at] == 0.0 && z[at] == 0.0f, "a row of no sequence is not zero");
    }
  }
  expect(results[0] == results[1], "the seed in device memory gives another mask");
}

const bool registered = [] {
  add_case({"layer_norm", "tail rows, device seed", true, tail_rows_and_device_seed});
  std::uint64_t seed = 100;
  for (const RowShape& shape : row_shapes()) {
    const bool quick = seed < 103;
    ++seed;
    add_case({"layer_norm", "bf16, " + shape.name, quick, [shape, seed] { run<camtl::bf16>(shape, seed); }});
    add_case({"layer_norm", "float32, " + shape.name, quick, [shape, seed] { run<float>(shape, seed); }});
  }
  return true;
}();

}  // namespace
}  // namespace harness
