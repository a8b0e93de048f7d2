// FiLM, dropout by itself and GELU with bias against float64.
#include "cases/rows.h"

namespace harness {
namespace {

template <typename T>
void film(const RowShape& shape, std::uint64_t seed) {
  Random random(seed);
  const Batch batch = row_batch(shape, random);
  const DeviceLayout layout(batch, rows_per_segment(shape));
  const auto rows = static_cast<std::size_t>(batch.rows()), columns = static_cast<std::size_t>(shape.columns);
  const auto tasks = static_cast<std::size_t>(batch.num_tasks);
  Array<T> x(rows * columns), dy(rows * columns), y(rows * columns), dx(rows * columns);
  Array<float> gamma(tasks * columns), beta(tasks * columns), dgamma(tasks * columns), dbeta(tasks * columns);
  fill_normal(x, random);
  fill_normal(dy, random);
  fill_normal(gamma, random, 0.5);
  fill_normal(beta, random);
  expect(camtl_cuda_film_forward(layout.get(), type_code<T>(), shape.columns, x.data(), gamma.data(), beta.data(),
                                 y.data(), nullptr) == 0,
         "forward launch failed");
  Array<unsigned char> workspace(camtl_cuda_film_backward_workspace(layout.get(), shape.columns));
  expect(camtl_cuda_film_backward(layout.get(), type_code<T>(), shape.columns, dy.data(), x.data(), gamma.data(),
                                  dx.data(), dgamma.data(), dbeta.data(), workspace.data(), nullptr) == 0,
         "backward launch failed");
  const auto vx = values(x), vdy = values(dy), vg = values(gamma), vb = values(beta);
  std::vector<double> ey, edx, edg(tasks * columns), edb(tasks * columns);
  for (std::size_t row = 0; row < rows; ++row) {
    const int b = batch.place(static_cast<int>(row)).first;
    const std::size_t table = static_cast<std::size_t>(batch.tasks[static_cast<std::size_t>(b)]) * columns;
    for (std::size_t j = 0; j < columns; ++j) {
      const double v = vx[row * columns + j], g = vdy[row * columns + j];
      ey.push_back((1.0 + vg[table + j]) * v + vb[table + j]);
      edx.push_back((1.0 + vg[table + j]) * g);
      edg[table + j] += g * v;
      edb[table + j] += g;
    }
  }
  expect_close("film y", values(y), ey, Tolerance<T>::out);
  expect_close("film dx", values(dx), edx, Tolerance<T>::out);
  expect_close("film dgamma", values(dgamma), edg, 1e-5);
  expect_close("film dbeta", values(dbeta), edb, 1e-5);
  y.check_guards("y");
  dx.check_guards("dx");
  dgamma.check_guards("dgamma");
  workspace.check_guards("workspace");
}

template <typename T>
void dropout(const RowShape& shape, std::uint64_t seed) {
  Random random(seed);
  const Batch batch = row_batch(shape, random);
  const DeviceLayout layout(batch, rows_per_segment(shape));
  const auto rows = static_cast<std::size_t>(batch.rows()), columns = static_cast<std::size_t>(shape.columns);
  Array<T> x(rows * columns), y(rows * columns);
  fill_normal(x, random);
  const reference::Dropout mask{0.3, random.next()};
  // The seed of a captured graph: read on the device, whatever the argument says.
  Array<std::uint64_t> place(1);
  place[0] = mask.seed;
  CamtlDropout call = dropout_of(mask.p, shape.option ? 1 : mask.seed);
  if (shape.option) call.device_seed = place.data();
  expect(camtl_cuda_dropout(layout.get(), type_code<T>(), shape.columns, x.data(), call, y.data(), nullptr) == 0,
         "launch failed");
  const auto vx = values(x);
  std::vector<double> expected;
  for (std::size_t row = 0; row < rows; ++row) {
    const auto [b, i] = batch.place(static_cast<int>(row));
    for (std::size_t j = 0; j < columns; ++j) {
      expected.push_back(vx[row * columns + j] * mask.factor(b, 0, i, static_cast<int>(j)));
    }
  }
  expect_close("dropout y", values(y), expected, Tolerance<T>::out);
  y.check_guards("y");
}

template <typename T>
void gelu(int rows, int width, std::uint64_t seed) {
  Random random(seed);
  const auto count = static_cast<std::size_t>(rows) * static_cast<std::size_t>(width);
  const auto columns = static_cast<std::size_t>(width);
  Array<T> x(count), dy(count), y(count), dx(count);
  Array<float> bias(columns), dbias(columns);
  fill_normal(x, random, 2.0);
  fill_normal(dy, random);
  fill_normal(bias, random, 0.5);
  expect(camtl_cuda_gelu_bias_forward(type_code<T>(), rows, width, x.data(), bias.data(), y.data(), nullptr) == 0,
         "forward launch failed");
  Array<unsigned char> workspace(camtl_cuda_gelu_bias_backward_workspace(rows, width));
  expect(camtl_cuda_gelu_bias_backward(type_code<T>(), rows, width, dy.data(), x.data(), bias.data(), dx.data(),
                                       dbias.data(), workspace.data(), nullptr) == 0,
         "backward launch failed");
  const auto vx = values(x), vdy = values(dy), vb = values(bias);
  std::vector<double> ey(count), edx(count), edb(columns);
  for (std::size_t i = 0; i < count; ++i) {
    const double u = vx[i] + vb[i % columns];
    ey[i] = reference::gelu(u);
    edx[i] = vdy[i] * reference::gelu_slope(u);
    edb[i % columns] += edx[i];
  }
  expect_close("gelu y", values(y), ey, Tolerance<T>::out);
  expect_close("gelu dx", values(dx), edx, Tolerance<T>::out);
  if (rows > 0) expect_close("gelu dbias", values(dbias), edb, 1e-5);
  y.check_guards("y");
  dx.check_guards("dx");
  dbias.check_guards("dbias");
  workspace.check_guards("workspace");
}

const bool registered = [] {
  std::uint64_t seed = 200;
  for (const RowShape& shape : row_shapes()) {
    const bool quick = seed < 202;
    ++seed;
    add_case({"film", "bf16, " + shape.name, quick, [shape, seed] { film<camtl::bf16>(shape, seed); }});
    add_case({"film", "float32, " + shape.name, quick, [shape, seed] { film<float>(shape, seed); }});
    add_case({"dropout", "bf16, " + shape.name, quick, [shape, seed] { dropout<camtl::bf16>(shape, seed); }});
    add_case({"dropout", "float32, " + shape.name, quick, [shape, seed] { dropout<float>(shape, seed); }});
  }
  add_case({"gelu_bias", "bf16", true, [] { gelu<camtl::bf16>(37, 1536, 301); }});
  add_case({"gelu_bias", "float32", true, [] { gelu<float>(16, 1048, 302); }});
  add_case({"gelu_bias", "one row", false, [] { gelu<float>(1, 8, 303); }});
  add_case({"gelu_bias", "many rows", false, [] { gelu<camtl::bf16>(4100, 8, 304); }});
  return true;
}();

}  // namespace
}  // namespace harness
