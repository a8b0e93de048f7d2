"""The plugin's C launchers (crates/camtl-ops/csrc/cuda/launch.h) on torch tensors.

Every call checks the launcher's return code; results are new tensors full of NaN
before the kernel runs, so that an element that nothing wrote is seen.
"""

import ctypes as C

import torch

P, I, L, F, D, Z = C.c_void_p, C.c_int, C.c_int64, C.c_float, C.c_double, C.c_size_t


class Layout(C.Structure):
    _fields_ = [(n, P) for n in (
        "cu_seqlens", "key_lengths", "tasks", "task_order", "task_offsets", "row_sequences",
        "segments", "segment_offsets")] + [(n, I) for n in (
            "num_sequences", "num_tasks", "num_rows", "num_segments", "max_length")]


class Dropout(C.Structure):
    _fields_ = [("seed", C.c_uint64), ("scale", D), ("threshold", C.c_uint32), ("on", C.c_int32), ("device_seed", P)]


class Attention(C.Structure):
    _fields_ = [("q", P), ("k", P), ("v", P), ("q_stride", L), ("kv_stride", L), ("band", P), ("band_rows", I),
                ("band_width", I), ("heads", I), ("head_dim", I), ("first_only", I), ("scale", F),
                ("dropout", Dropout)]


class AttentionGradients(C.Structure):
    _fields_ = [("dout", P), ("dout_stride", L), ("out", P), ("out_stride", L), ("log_sums", P), ("dq", P),
                ("dq_stride", L), ("dk", P), ("dv", P), ("dkv_stride", L), ("dband", P), ("workspace", P)]


class TaskTable(C.Structure):
    _fields_ = [("rows", P), ("stride", L)]


class AdamW(C.Structure):
    _fields_ = [("param", P), ("gradient", P), ("exp_avg", P), ("exp_avg_sq", P), ("shadow", P), ("clip", P),
                ("step", P), ("decay", P), ("decay_ranges", I), ("beta1", D), ("beta2", D), ("eps", D),
                ("hugging_face", I), ("count", L)]


class Heads(C.Structure):
    _fields_ = [("offsets", P), ("regression", P), ("classes", P), ("scores", P), ("columns", I)]


class Embedding(C.Structure):
    _fields_ = [(n, P) for n in ("input_ids", "token_type_ids", "position_ids", "word", "token_type", "position",
                                 "weight", "bias", "gamma", "beta")] + [("eps", F), ("dropout", Dropout)]


def no_dropout():
    return Dropout(0, 1.0, 0, 0, None)


def dropout(p, seed):
    return Dropout(seed, 1.0 / (1.0 - p), round(p * 2**32), int(p > 0), None)


def address(x):
    return None if x is None else x.data_ptr()


def type_code(x):
    return {torch.bfloat16: 0, torch.float32: 1}[x.dtype]


class Batch:
    """Lengths and tasks of a packed batch, and its device layout."""

    def __init__(self, lengths, tasks, num_tasks, device):
        assert len(lengths) == len(tasks)
        self.lengths, self.tasks, self.num_tasks, self.device = list(lengths), list(tasks), num_tasks, device
        starts = [0]
        for n in lengths:
            starts.append(starts[-1] + n)
        self.starts = starts
        order = sorted(range(len(tasks)), key=lambda b: tasks[b])
        offsets = [sum(t < i for t in tasks) for i in range(num_tasks + 1)]
        longest = max(16, -(-starts[-1] // 396))
        runs = []
        for b in order:
            if runs and runs[-1][2] == tasks[b] and runs[-1][1] == starts[b]:
                runs[-1][1] = starts[b + 1]
            elif lengths[b]:
                runs.append([starts[b], starts[b + 1], tasks[b]])
        segments, counts = [], [0] * (num_tasks + 1)
        for begin, end, task in runs:
            for at in range(begin, end, longest):
                segments.append([at, min(at + longest, end), task, 0])
                counts[task + 1] += 1
        for i in range(num_tasks):
            counts[i + 1] += counts[i]
        rows = [b for b, n in enumerate(lengths) for _ in range(n)]
        as_int = lambda x: torch.tensor(x, dtype=torch.int32, device=device)
        self.arrays = dict(
            cu_seqlens=as_int(starts), key_lengths=None, tasks=as_int(tasks), task_order=as_int(order),
            task_offsets=as_int(offsets), row_sequences=as_int(rows), segments=as_int(segments),
            segment_offsets=as_int(counts))
        self.rows, self.max_length = starts[-1], max(lengths, default=0)
        self.layout = Layout(*[address(x) for x in self.arrays.values()], len(lengths), num_tasks, self.rows,
                             len(segments), self.max_length)
        self.row_tasks = torch.tensor([tasks[b] for b in rows], device=device)


class Library:
    """The opened plugin. `stream` gives the stream of the launches."""

    def __init__(self, path, device):
        self.c = C.CDLL(path)
        self.device = device
        for name in ("attention_backward_workspace", "layer_norm_backward_workspace", "film_backward_workspace",
                     "gelu_bias_backward_workspace", "embedding_backward_workspace", "norm_workspace"):
            getattr(self.c, "camtl_cuda_" + name).restype = Z

    def stream(self):
        return P(torch.cuda.current_stream().cuda_stream) if self.device == "cuda" else None

    def call(self, name, *args):
        code = getattr(self.c, "camtl_cuda_" + name)(*args)
        if code != 0:
            raise RuntimeError(f"{name}: {'shapes not supported' if code == -1 else f'CUDA error {code}'}")

    def poisoned(self, shape, dtype):
        return torch.full(tuple(shape), float("nan"), dtype=dtype, device=self.device)

    def workspace(self, bytes_):
        return torch.full((max(bytes_, 1),), 255, dtype=torch.uint8, device=self.device)

    # Attention over q, k, v [N, heads * head_dim].
    def attention_arguments(self, q, k, v, heads, band, drop):
        d = q.shape[1] // heads
        return Attention(address(q), address(k), address(v), q.stride(0), k.stride(0), address(band),
                         0 if band is None else band.shape[1], 0 if band is None else band.shape[2], heads, d, 0,
                         d ** -0.5, drop)

    def attention_outputs(self, batch, q, heads):
        logs = self.c.camtl_cuda_attention_saves_log_sums(batch.max_length)
        return (self.poisoned(q.shape, q.dtype),
                self.poisoned((q.shape[0], heads), torch.float32) if logs else None)

    def attention(self, batch, q, k, v, heads, band, drop, outputs=None):
        a = self.attention_arguments(q, k, v, heads, band, drop)
        out, logs = outputs or self.attention_outputs(batch, q, heads)
        self.call("attention_forward", C.byref(a), C.byref(batch.layout), P(address(out)), L(out.stride(0)),
                  P(address(logs)), self.stream())
        return out, logs

    def attention_gradient_outputs(self, batch, q, k, v, heads, band):
        a = self.attention_arguments(q, k, v, heads, band, no_dropout())
        size = self.c.camtl_cuda_attention_backward_workspace(C.byref(a), C.byref(batch.layout), int(band is not None))
        return (self.poisoned(q.shape, q.dtype), self.poisoned(k.shape, k.dtype), self.poisoned(v.shape, v.dtype),
                None if band is None else self.poisoned(band.shape, torch.float32), self.workspace(size))

    def attention_backward(self, batch, q, k, v, heads, band, drop, dout, out, logs, outputs=None):
        a = self.attention_arguments(q, k, v, heads, band, drop)
        dq, dk, dv, dband, memory = outputs or self.attention_gradient_outputs(batch, q, k, v, heads, band)
        g = AttentionGradients(address(dout), dout.stride(0), address(out), out.stride(0), address(logs), address(dq),
                               dq.stride(0), address(dk), address(dv), dk.stride(0), address(dband), address(memory))
        self.call("attention_backward", C.byref(a), C.byref(batch.layout), C.byref(g), self.stream())
        return dq, dk, dv, dband

    def layer_norm(self, batch, x, residual, weight, bias, eps, drop, train=True, outputs=None):
        n, d = x.shape
        y, z, mean, rstd = outputs or (self.poisoned(x.shape, x.dtype),) + (
            (self.poisoned(x.shape, x.dtype), self.poisoned((n,), torch.float32),
             self.poisoned((n,), torch.float32)) if train else (None, None, None))
        self.call("layer_norm_forward", C.byref(batch.layout), type_code(x), d, P(address(x)), P(address(residual)),
                  TaskTable(address(weight), d), TaskTable(address(bias), d), F(eps), drop, P(address(y)),
                  P(address(z)), P(address(mean)), P(address(rstd)), self.stream())
        return y, z, mean, rstd

    def layer_norm_backward(self, batch, dy, z, mean, rstd, weight, drop, outputs=None):
        n, d = dy.shape
        size = self.c.camtl_cuda_layer_norm_backward_workspace(C.byref(batch.layout), d, 1)
        dz, dx, dw, db, sums, memory = outputs or (
            self.poisoned(dy.shape, dy.dtype), self.poisoned(dy.shape, dy.dtype),
            self.poisoned(weight.shape, torch.float32), self.poisoned(weight.shape, torch.float32),
            self.poisoned((d,), torch.float32), self.workspace(size))
        t = weight.shape[0]
        self.call("layer_norm_backward", C.byref(batch.layout), type_code(dy), d, P(address(dy)), P(address(z)),
                  P(address(mean)), P(address(rstd)), TaskTable(address(weight), d), t, t, drop, P(address(dz)),
                  P(address(dx)) if drop.on else None, P(address(dw)), P(address(db)), P(address(sums)),
                  P(address(memory)), self.stream())
        return dz, dx if drop.on else dz, dw, db, sums

    def film(self, batch, x, gamma, beta, outputs=None):
        y = outputs if outputs is not None else self.poisoned(x.shape, x.dtype)
        self.call("film_forward", C.byref(batch.layout), type_code(x), x.shape[1], P(address(x)), P(address(gamma)),
                  P(address(beta)), P(address(y)), self.stream())
        return y

    def film_backward(self, batch, dy, x, gamma):
        d = x.shape[1]
        memory = self.workspace(self.c.camtl_cuda_film_backward_workspace(C.byref(batch.layout), d))
        dx = self.poisoned(x.shape, x.dtype)
        dg, db = self.poisoned(gamma.shape, torch.float32), self.poisoned(gamma.shape, torch.float32)
        self.call("film_backward", C.byref(batch.layout), type_code(x), d, P(address(dy)), P(address(x)),
                  P(address(gamma)), P(address(dx)), P(address(dg)), P(address(db)), P(address(memory)), self.stream())
        return dx, dg, db

    def gelu(self, x, bias, outputs=None):
        y = outputs if outputs is not None else self.poisoned(x.shape, x.dtype)
        self.call("gelu_bias_forward", type_code(x), x.shape[0], x.shape[1], P(address(x)), P(address(bias)),
                  P(address(y)), self.stream())
        return y

    def gelu_outputs(self, x, bias):
        return (self.poisoned(x.shape, x.dtype), self.poisoned(bias.shape, torch.float32),
                self.workspace(self.c.camtl_cuda_gelu_bias_backward_workspace(x.shape[0], x.shape[1])))

    def gelu_backward(self, dy, x, bias, outputs=None):
        dx, db, memory = outputs or self.gelu_outputs(x, bias)
        self.call("gelu_bias_backward", type_code(x), x.shape[0], x.shape[1], P(address(dy)), P(address(x)),
                  P(address(bias)), P(address(dx)), P(address(db)), P(address(memory)), self.stream())
        return dx, db

    def embedding(self, batch, ids, tables, eps, drop, dtype):
        n, d = batch.rows, tables[0].shape[1]
        e = Embedding(*[address(x) for x in ids], *[address(x) for x in tables], eps, drop)
        y, z = self.poisoned((n, d), dtype), self.poisoned((n, d), dtype)
        mean, rstd = self.poisoned((n,), torch.float32), self.poisoned((n,), torch.float32)
        self.call("embedding_forward", C.byref(batch.layout), type_code(y), d, C.byref(e), P(address(y)),
                  P(address(z)), P(address(mean)), P(address(rstd)), self.stream())
        return y, z, mean, rstd

    def norm(self, flat, max_norm):
        norm, coefficient = self.poisoned((1,), torch.float32), self.poisoned((1,), torch.float32)
        memory = self.workspace(self.c.camtl_cuda_norm_workspace())
        self.call("norm", P(address(flat)), L(flat.numel()), F(max_norm), P(address(norm)), P(address(coefficient)),
                  P(address(memory)), self.stream())
        return norm, coefficient

    def adamw(self, p, g, m, v, step, clip=None, shadow=None, beta1=0.9, beta2=0.999, eps=1e-8):
        a = AdamW(address(p), address(g), address(m), address(v), address(shadow), address(clip), address(step), None,
                  0, beta1, beta2, eps, 0, p.numel())
        self.call("adamw", C.byref(a), self.stream())

    def adamw_step(self, lr, beta1, beta2, weight_decay, step):
        out = (F * 4)()
        self.c.camtl_cuda_adamw_step(D(lr), D(beta1), D(beta2), D(weight_decay), L(step), 0, out)
        return torch.tensor(list(out), device=self.device)

    def heads(self, batch, logits, offsets, regression, classes, scores):
        n = logits.shape[0]
        h = Heads(address(offsets), address(regression), address(classes), address(scores), logits.shape[1])
        h.keep = (offsets, regression, classes, scores)  # the structure holds bare addresses
        loss, entropy = self.poisoned((n,), torch.float32), self.poisoned((n,), torch.float32)
        self.call("heads_forward", C.byref(batch.layout), type_code(logits), C.byref(h), P(address(logits)),
                  P(address(loss)), P(address(entropy)), self.stream())
        return loss, entropy, h

    def heads_backward(self, batch, logits, h, dloss):
        d = self.poisoned(logits.shape, logits.dtype)
        self.call("heads_backward", C.byref(batch.layout), type_code(logits), C.byref(h), P(address(logits)),
                  P(address(dloss)), P(address(d)), self.stream())
        return d

    def top_scores(self, scores, wanted):
        out = torch.full((wanted,), -1, dtype=torch.int32, device=self.device)
        self.call("top_scores", P(address(scores)), scores.numel(), wanted, P(address(out)), self.stream())
        return out
