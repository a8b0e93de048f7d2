// The embedding layer and the gradients of its tables against float64.
#include "cases/rows.h"

namespace harness {
namespace {

std::vector<double> table_gradient(const std::vector<int>& of_row, Array<float>& dz, int columns, int table_rows,
                                   Random& random, std::vector<double>& before) {
  std::vector<int64_t> order(of_row.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return of_row[static_cast<std::size_t>(a)] < of_row[static_cast<std::size_t>(b)];
  });
  std::vector<int> sorted;
  for (int64_t row : order) sorted.push_back(of_row[static_cast<std::size_t>(row)]);
  Array<int> ids(sorted);
  Array<int64_t> rows(order);
  const auto count = static_cast<int>(of_row.size());
  // The gradient is added to what is there.
  Array<float> table(static_cast<std::size_t>(table_rows * columns));
  fill_normal(table, random);
  before = values(table);
  Array<unsigned char> workspace(camtl_cuda_table_gradient_workspace(count, columns));
  expect(camtl_cuda_table_gradient(ids.data(), rows.data(), count, columns, dz.data(), table.data(), workspace.data(),
                                   nullptr) == 0,
         "table gradient launch failed");
  table.check_guards("table");
  workspace.check_guards("workspace");
  return values(table);
}

void check_table(const std::vector<int>& ids, Array<float>& dz, int columns, int table_rows, Random& random) {
  std::vector<double> expected;
  const auto got = table_gradient(ids, dz, columns, table_rows, random, expected);
  const auto vdz = values(dz);
  const auto width = static_cast<std::size_t>(columns);
  for (std::size_t row = 0; row < ids.size(); ++row) {
    for (std::size_t j = 0; j < width; ++j) {
      expected[static_cast<std::size_t>(ids[row]) * width + j] += vdz[row * width + j];
    }
  }
  expect_close("embedding tables", got, expected, 1e-5);
}

// Frequent ids: runs of every length around one and two pieces, side by side and apart.
void frequent(const std::vector<int>& counts, int columns, std::uint64_t seed) {
  Random random(seed);
  std::vector<int> ids;
  for (std::size_t id = 0; id < counts.size(); ++id) {
    ids.insert(ids.end(), static_cast<std::size_t>(counts[id]), static_cast<int>(id));
  }
  for (std::size_t i = ids.size(); i > 1; --i) std::swap(ids[i - 1], ids[static_cast<std::size_t>(random.below(static_cast<int>(i)))]);
  Array<float> dz(ids.size() * static_cast<std::size_t>(columns));
  fill_normal(dz, random);
  check_table(ids, dz, columns, static_cast<int>(counts.size()) + 1, random);
}

template <typename T>
void run(const RowShape& shape, std::uint64_t seed) {
  Random random(seed);
  const Batch batch = row_batch(shape, random);
  const DeviceLayout layout(batch, rows_per_segment(shape));
  const auto rows = static_cast<std::size_t>(batch.rows()), columns = static_cast<std::size_t>(shape.columns);
  const auto tasks = static_cast<std::size_t>(batch.num_tasks);
  constexpr int WORDS = 11, TYPES = 2;
  const int positions = batch.max_length();
  std::vector<int> word_ids, type_ids, position_ids;
  for (std::size_t row = 0; row < rows; ++row) {
    word_ids.push_back(random.below(WORDS));
    type_ids.push_back(random.below(TYPES));
    position_ids.push_back(batch.place(static_cast<int>(row)).second);
  }
  Array<int> word_array(word_ids), type_array(type_ids), position_array(position_ids);
  Array<float> word(WORDS * columns), type(TYPES * columns), position(static_cast<std::size_t>(positions) * columns);
  Array<float> weight(columns), bias(columns), gamma(tasks * columns), beta(tasks * columns);
  for (auto* table : {&word, &type, &position}) fill_normal(*table, random);
  fill_normal(weight, random, 0.3, 1.0);
  fill_normal(bias, random, 0.5);
  fill_normal(gamma, random, 0.5);
  fill_normal(beta, random);
  const reference::Dropout mask{shape.dropout, random.next()};
  CamtlEmbedding call{};
  call.input_ids = word_array.data();
  call.token_type_ids = type_array.data();
  call.position_ids = position_array.data();
  call.word = word.data();
  call.token_type = type.data();
  call.position = position.data();
  call.weight = weight.data();
  call.bias = bias.data();
  call.gamma = shape.option ? gamma.data() : nullptr;
  call.beta = shape.option ? beta.data() : nullptr;
  call.eps = 1e-6f;
  call.dropout = dropout_of(shape.dropout, mask.seed);
  Array<T> y(rows * columns), z(rows * columns), dy(rows * columns);
  fill_normal(dy, random);
  Array<float> mean(rows), rstd(rows), dz(rows * columns), dweight(columns), dbias(columns), dgamma(tasks * columns),
      dbeta(tasks * columns);
  expect(camtl_cuda_embedding_forward(layout.get(), type_code<T>(), shape.columns, &call, y.data(), z.data(),
                                      mean.data(), rstd.data(), nullptr) == 0,
         "forward launch failed");
  Array<unsigned char> workspace(camtl_cuda_embedding_backward_workspace(layout.get(), shape.columns, shape.option));
  expect(camtl_cuda_embedding_backward(layout.get(), type_code<T>(), shape.columns, &call, dy.data(), z.data(),
                                       mean.data(), rstd.data(), dz.data(), dweight.data(), dbias.data(),
                                       dgamma.data(), dbeta.data(), workspace.data(), nullptr) == 0,
         "backward launch failed");

  const auto vw = values(word), vt = values(type), vp = values(position), vdy = values(dy), vweight = values(weight),
             vbias = values(bias), vg = values(gamma), vb = values(beta);
  std::vector<double> ey, edz, edw(columns), edb(columns), edg(tasks * columns), edbeta(tasks * columns);
  for (std::size_t row = 0; row < rows; ++row) {
    const auto [b, i] = batch.place(static_cast<int>(row));
    const std::size_t table = static_cast<std::size_t>(batch.tasks[static_cast<std::size_t>(b)]) * columns;
    std::vector<double> sum(columns), gradient(columns);
    for (std::size_t j = 0; j < columns; ++j) {
      sum[j] = vw[static_cast<std::size_t>(word_ids[row]) * columns + j] +
               vt[static_cast<std::size_t>(type_ids[row]) * columns + j] +
               vp[static_cast<std::size_t>(position_ids[row]) * columns + j];
    }
    const auto normed = reference::normalise(sum, call.eps);
    for (std::size_t j = 0; j < columns; ++j) {
      const double factor = mask.factor(b, 0, i, static_cast<int>(j));
      const double dropped = (normed.normed[j] * vweight[j] + vbias[j]) * factor;
      double g = vdy[row * columns + j];
      if (shape.option) {
        ey.push_back((1.0 + vg[table + j]) * dropped + vb[table + j]);
        edg[table + j] += g * dropped;
        edbeta[table + j] += g;
        g *= 1.0 + vg[table + j];
      } else {
        ey.push_back(dropped);
      }
      g *= factor;
      edw[j] += g * normed.normed[j];
      edb[j] += g;
      gradient[j] = g * vweight[j];
    }
    for (double d : reference::normalise_gradient(normed, gradient)) edz.push_back(d);
  }
  expect_close("embedding y", values(y), ey, Tolerance<T>::out);
  expect_close("embedding dz", values(dz), edz, Tolerance<T>::gradient);
  expect_close("embedding dweight", values(dweight), edw, Tolerance<T>::sums);
  expect_close("embedding dbias", values(dbias), edb, 1e-5);
  if (shape.option) {
    expect_close("embedding dgamma", values(dgamma), edg, Tolerance<T>::sums);
    expect_close("embedding dbeta", values(dbeta), edbeta, 1e-5);
  }
  for (const auto& [ids, count] : {std::pair{word_ids, WORDS}, {type_ids, TYPES}, {position_ids, positions}}) {
    check_table(ids, dz, shape.columns, count, random);
  }
  y.check_guards("y");
  dz.check_guards("dz");
  workspace.check_guards("workspace");
}

const bool registered = [] {
  std::uint64_t seed = 400;
  for (const RowShape& shape : row_shapes()) {
    const bool quick = seed < 401;
    ++seed;
    add_case({"embedding", "bf16, " + shape.name, quick, [shape, seed] { run<camtl::bf16>(shape, seed); }});
    add_case({"embedding", "float32, " + shape.name, quick, [shape, seed] { run<float>(shape, seed); }});
  }
  add_case({"embedding", "frequent tokens", true, [] { frequent({64, 1, 130, 70, 0, 65, 63, 2}, 64, 450); }});
  add_case({"embedding", "one token", false, [] { frequent({0, 300}, 8, 451); }});
  add_case({"embedding", "pieces side by side", false, [] { frequent({3, 128, 129, 64, 192, 5, 66}, 40, 452); }});
  return true;
}();

}  // namespace
}  // namespace harness
