"""Kernels timed against their floor, eager PyTorch and the best composite, in one run.

E: the operations as a plain model writes them, padded to 128, under bf16 autocast.
C: the best composition of libtorch operations: bf16, vectorised, memory-efficient
   attention with a bf16 bias, fused AdamW, packed rows where libtorch can.
Floor: the fewest bytes the operation moves over the copy rate measured here.
"""

import ctypes

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from bindings import Batch, dropout, no_dropout


def median_us(run, repeats=20, inner=5):
    """Median over `repeats` of the mean of `inner` calls, by device events."""
    for _ in range(3):
        run()
    torch.cuda.synchronize()
    times = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(inner):
            run()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) * 1000 / inner)
    times.sort()
    return times[len(times) // 2]


def graph_us(run, copies=20):
    """Time of one call inside a replayed graph: launches cost nothing there."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(copies):
            run()
    return median_us(graph.replay, inner=1) / copies


def ceilings():
    a = torch.empty(2 * 2**30, dtype=torch.uint8, device="cuda")
    b = torch.empty_like(a)
    copy = 2 * a.numel() / median_us(lambda: b.copy_(a), inner=2) / 1e6  # TB/s, read and written
    x, y = (torch.randn(8192, 8192, device="cuda").bfloat16() for _ in range(2))
    product = 2 * 8192**3 / median_us(lambda: x @ y, inner=2) / 1e6  # TFLOP/s
    return copy, product


class Table:
    def __init__(self, copy_rate):
        self.copy_rate, self.rows = copy_rate, []

    def add(self, name, ours, floor_bytes=None, eager=None, composite=None, note=""):
        floor = None if floor_bytes is None else floor_bytes / self.copy_rate / 1e6
        self.rows.append(dict(name=name, us=ours, floor_us=floor, eager_us=eager, composite_us=composite, note=note))
        print(self.line(self.rows[-1]), flush=True)

    def line(self, r):
        number = lambda x: f"{x:10.1f}" if x is not None else f"{'-':>10}"
        ratio = lambda x: f"{x / r['us']:7.1f}x" if x is not None else f"{'-':>8}"
        part = f"{100 * r['floor_us'] / r['us']:6.0f}%" if r["floor_us"] is not None else f"{'-':>7}"
        return (f"{r['name']:34}{number(r['us'])}{number(r['floor_us'])}{part}{number(r['eager_us'])}"
                f"{ratio(r['eager_us'])}{number(r['composite_us'])}{ratio(r['composite_us'])}  {r['note']}")

    def header(self):
        return (f"{'operation':34}{'us':>10}{'floor us':>10}{'floor':>7}{'E us':>10}{'E':>8}{'C us':>10}{'C':>8}  "
                "wanted")


def lengths_of(count, mean, longest=128, seed=1):
    """`count` lengths of the given mean, none above `longest`."""
    generator = torch.Generator().manual_seed(seed)
    if mean == longest:
        return [longest] * count
    draws = (torch.rand(count, generator=generator) * 2 * (mean - 4) + 4).round().long().clamp(1, longest).tolist()
    total, wanted = sum(draws), count * mean
    i = 0
    while total != wanted:
        step = 1 if total < wanted else -1
        if 1 <= draws[i % count] + step <= longest:
            draws[i % count] += step
            total += step
        i += 1
    return draws


class Padded:
    """Views of a packed batch as libtorch's dense operations need them."""

    def __init__(self, batch, heads, head_dim, band, longest=128):
        self.batch, self.heads, self.d, self.longest = batch, heads, head_dim, longest
        device = batch.device
        self.lengths = torch.tensor(batch.lengths, device=device)
        position = torch.cat([torch.arange(n) for n in batch.lengths]).to(device)
        sequence = torch.repeat_interleave(torch.arange(len(batch.lengths), device=device), self.lengths)
        self.index = sequence * longest + position
        self.tasks = torch.tensor(batch.tasks, device=device)
        self.band = band
        self.hidden = torch.arange(longest, device=device)[None, :] >= self.lengths[:, None]

    def pad(self, x):
        out = torch.zeros(len(self.batch.lengths) * self.longest, x.shape[1], dtype=x.dtype, device=x.device)
        out = out.index_copy(0, self.index, x)
        return out.view(len(self.batch.lengths), self.longest, self.heads, self.d).transpose(1, 2)

    def unpad(self, x):
        return x.transpose(1, 2).reshape(-1, self.heads * self.d).index_select(0, self.index)

    def bias(self, band):
        """Dense bias [B, 1, S, S] in bf16, keys beyond the end masked; vectorised."""
        w = band.shape[2]
        i = torch.arange(self.longest, device=band.device)
        c = i[None, :] - (i // w * w)[:, None]
        inside = (c >= 0) & (c < w)
        dense = torch.gather(band[:, :self.longest], 2, c.clamp(0, w - 1)[None].expand(band.shape[0], -1, -1)) * inside
        dense = dense.bfloat16()[self.tasks][:, None]
        return dense.masked_fill(self.hidden[:, None, None, :], -30000.0)

    def composite(self, q, k, v, band, p):
        bias = self.bias(band).expand(-1, self.heads, -1, -1)
        with sdpa_kernel(SDPBackend.EFFICIENT_ATTENTION):
            out = F.scaled_dot_product_attention(self.pad(q), self.pad(k), self.pad(v), attn_mask=bias, dropout_p=p)
        return self.unpad(out)

    def eager(self, q, k, v, a, gamma, beta, p):
        """As released: per example a block diagonal, scores in steps; inputs are padded already."""
        w = a.shape[1]
        masks = []
        for task in self.tasks.tolist():
            chunk = (1 + gamma[task]) * a + beta[task]
            masks.append(torch.block_diag(*chunk.split(w))[:self.longest, :self.longest])
        bias = torch.stack(masks)[:, None]
        with torch.autocast("cuda", dtype=torch.bfloat16):
            scores = q @ k.transpose(-1, -2) / self.d ** 0.5 + bias
            scores = scores.masked_fill(self.hidden[:, None, None, :], -30000.0)
            return F.dropout(scores.softmax(-1), p) @ v


def attention_rows(table, lib, count, mean, heads=12, head_dim=64, width=22):
    columns = heads * head_dim
    lengths = lengths_of(count, mean)
    batch = Batch(lengths, sorted(i % 8 for i in range(count)), 8, "cuda")
    n = batch.rows
    draw = lambda *shape: torch.randn(*shape, device="cuda")
    q, k, v, dout = (draw(n, columns).bfloat16() for _ in range(4))
    a, gamma, beta = 0.1 * draw(128, width), 0.1 * draw(8, width), 0.1 * draw(8, width)
    band = (1 + gamma[:, None]) * a + beta[:, None]
    padded = Padded(batch, heads, head_dim, band)
    outputs = lib.attention_outputs(batch, q, heads)
    drop = dropout(0.1, 3)
    label = f"{n} rows, mean {mean}"
    forward = lambda d: lib.attention(batch, q, k, v, heads, band, d, outputs)
    with torch.no_grad():
        composite = median_us(lambda: padded.composite(q, k, v, band, 0.0))
        pq, pk, pv = (padded.pad(x) for x in (q, k, v))
        eager = median_us(lambda: padded.eager(pq, pk, pv, a, gamma, beta, 0.0), repeats=3, inner=1)
    bytes_forward = 8 * columns * n
    wanted = ">=70% floor, >=10x E, >=3x C" if mean == 40 else ">=55% floor, >=4x E, >=1.2x C"
    table.add(f"attention forward, {label}", median_us(lambda: forward(no_dropout())), bytes_forward, eager, composite,
              wanted)
    table.add(f"attention forward, dropout, {label}", median_us(lambda: forward(drop)), bytes_forward)
    flash = None
    try:
        starts = batch.arrays["cu_seqlens"]
        view = lambda x: x.view(n, heads, head_dim)
        run = lambda: torch.ops.aten._flash_attention_forward(view(q), view(k), view(v), starts, starts, 128, 128, 0.0,
                                                              False, False)
        flash = median_us(run)
    except Exception as error:  # not built in, or another signature: the row says so
        print(f"no packed flash attention in this torch: {error}")
    table.add(f"  without bias, {label}", median_us(lambda: lib.attention(batch, q, k, v, heads, None, no_dropout(),
                                                                          outputs)), bytes_forward, None, flash,
              "C here: flash attention, packed; " + (">=1.3x" if mean == 40 else ">=0.85x"))

    out, logs = forward(no_dropout())
    memory = lib.attention_gradient_outputs(batch, q, k, v, heads, band)
    backward = lambda d: lib.attention_backward(batch, q, k, v, heads, band, d, dout, out, logs, memory)
    leaves = [x.detach().requires_grad_(True) for x in (q, k, v, band)]
    result = padded.composite(*leaves, 0.0)
    composite = median_us(lambda: torch.autograd.grad(result, leaves, dout, retain_graph=True))
    parts = [x.detach().requires_grad_(True) for x in (pq, pk, pv, a, gamma, beta)]
    result_eager = padded.eager(*parts, 0.0)
    d_eager = torch.randn_like(result_eager)
    eager = median_us(lambda: torch.autograd.grad(result_eager, parts, d_eager, retain_graph=True), repeats=3, inner=1)
    bytes_backward = (14 * columns + 4 * heads * width) * n
    wanted = ">=55% floor, >=10x E, >=3x C" if mean == 40 else ">=3x E, >=1.1x C"
    table.add(f"attention backward, {label}", median_us(lambda: backward(no_dropout())), bytes_backward, eager,
              composite, wanted)
    table.add(f"attention backward, dropout, {label}", median_us(lambda: backward(drop)), bytes_backward)


def row_rows(table, lib, n, columns):
    lengths = lengths_of(n // 40, 40)
    batch = Batch(lengths, sorted(i % 8 for i in range(len(lengths))), 8, "cuda")
    n = batch.rows
    draw = lambda *shape: torch.randn(*shape, device="cuda")
    x, r, dy = (draw(n, columns).bfloat16() for _ in range(3))
    w, b = draw(8, columns), draw(8, columns)
    drop, label = dropout(0.1, 1), f"{n} x {columns}"
    outputs = lib.layer_norm(batch, x, r, w, b, 1e-6, drop)

    def composite(x, r, w, b, p):
        z = F.dropout(x, p) + r
        return F.layer_norm(z, (columns,), eps=1e-6) * w.bfloat16()[batch.row_tasks] + b.bfloat16()[batch.row_tasks]

    # Eager works on padded rows: 128 per sequence.
    px, pr = (draw(len(lengths) * 128, columns).bfloat16() for _ in range(2))
    example = torch.tensor(batch.tasks, device="cuda")

    def eager(x, r, w, b, p):
        with torch.autocast("cuda", dtype=torch.bfloat16):
            z = F.layer_norm(F.dropout(x, p) + r, (columns,), eps=1e-6).view(len(lengths), 128, columns)
            return (z * w[example][:, None] + b[example][:, None]).view(-1, columns)

    with torch.no_grad():
        c, e = median_us(lambda: composite(x, r, w, b, 0.1)), median_us(lambda: eager(px, pr, w, b, 0.1))
        cs, es = median_us(lambda: composite(x, r, w, b, 0.0)), median_us(lambda: eager(px, pr, w, b, 0.0))
    table.add(f"layer norm, training, {label}", median_us(lambda: lib.layer_norm(batch, x, r, w, b, 1e-6, drop, True,
                                                                                  outputs)), 8 * columns * n, e, c,
              ">=85% floor, >=10x E, >=3x C")
    scoring = (outputs[0], None, None, None)
    table.add(f"layer norm, scoring, {label}", median_us(lambda: lib.layer_norm(batch, x, r, w, b, 1e-6, no_dropout(),
                                                                                 False, scoring)), 6 * columns * n, es,
              cs, ">=85% floor, >=10x E, >=3x C")
    memory = (torch.empty_like(x), torch.empty_like(x), torch.empty_like(w), torch.empty_like(w),
              torch.empty(columns, device="cuda"),
              lib.workspace(lib.c.camtl_cuda_layer_norm_backward_workspace(ctypes.byref(batch.layout),
                                                                           columns, 1)))
    leaves = [t.detach().requires_grad_(True) for t in (x, r, w, b)]
    result = composite(*leaves, 0.1)
    c = median_us(lambda: torch.autograd.grad(result, leaves, dy, retain_graph=True))
    parts = [t.detach().requires_grad_(True) for t in (px, pr, w, b)]
    padded = eager(*parts, 0.1)
    grad = torch.randn_like(padded)
    e = median_us(lambda: torch.autograd.grad(padded, parts, grad, retain_graph=True))
    table.add(f"layer norm, backward, {label}",
              median_us(lambda: lib.layer_norm_backward(batch, dy, outputs[1], outputs[2], outputs[3], w, drop, memory)),
              8 * columns * n, e, c, ">=75% floor, >=10x E, >=3x C")
    wide = 4 * columns
    h, dh = draw(n, wide).bfloat16(), draw(n, wide).bfloat16()
    bias = draw(wide)
    memory = lib.gelu_outputs(h, bias)
    lh, lb = h.detach().requires_grad_(True), bias.bfloat16().detach().requires_grad_(True)
    y = F.gelu(lh + lb)
    c = median_us(lambda: torch.autograd.grad(y, (lh, lb), dh, retain_graph=True))
    table.add(f"gelu backward, {n} x {wide}", median_us(lambda: lib.gelu_backward(dh, h, bias, memory)),
              6 * wide * n, c, c, ">=85% floor, >=1.3x")


def optimiser_row(table, lib, count):
    p, g, m = (torch.randn(count, device="cuda") for _ in range(3))
    v = torch.rand(count, device="cuda")
    shadow = torch.empty(count, dtype=torch.bfloat16, device="cuda")
    step = lib.adamw_step(1e-5, 0.9, 0.999, 0.0, 10)

    def ours():
        _, clip = lib.norm(g, 1.0)
        lib.adamw(p, g, m, v, step, clip, shadow)

    pieces = 200
    split = [x.contiguous() for x in p.chunk(pieces)]
    params = [torch.nn.Parameter(x.clone()) for x in split]
    for x, piece in zip(params, g.chunk(pieces)):
        x.grad = piece.clone()
    fused = torch.optim.AdamW(params, lr=1e-5, weight_decay=0.0, fused=True)

    def composite():
        torch.nn.utils.clip_grad_norm_(params, 1.0, foreach=True)
        fused.step()
        for x in params:
            x.detach().bfloat16()

    state = [(torch.zeros_like(x), torch.zeros_like(x)) for x in params]

    def eager():
        total = torch.norm(torch.stack([torch.norm(x.grad) for x in params]))
        factor = 1.0 / (total.item() + 1e-6)
        with torch.no_grad():
            for x, (em, ev) in zip(params, state):
                if factor < 1:
                    x.grad.mul_(factor)
                em.mul_(0.9).add_(x.grad, alpha=0.1)
                ev.mul_(0.999).addcmul_(x.grad, x.grad, value=0.001)
                x.addcdiv_(em, ev.sqrt().add_(1e-8), value=-1e-5)

    e = median_us(eager, repeats=5, inner=1)
    c = median_us(composite, repeats=10, inner=1)
    table.add(f"AdamW with clipping, {count // 10**6} M", median_us(ours, repeats=10, inner=2), 34 * count, e, c,
              ">=85% floor, >=5x E, >=1.3x C")


def graph_rows(table, lib, columns=768, heads=12):
    """1,280 rows, as one training step has them, inside a replayed graph."""
    lengths = lengths_of(32, 40)
    batch = Batch(lengths, sorted(i % 8 for i in range(32)), 8, "cuda")
    n, drop = batch.rows, dropout(0.1, 1)
    draw = lambda *shape: torch.randn(*shape, device="cuda")
    q, k, v, x, dy = (draw(n, columns).bfloat16() for _ in range(5))
    band, w, b = draw(8, 128, 22), draw(8, columns), draw(8, columns)
    out = lib.attention_outputs(batch, q, heads)
    memory = lib.attention_gradient_outputs(batch, q, k, v, heads, band)
    table.add("attention forward, 1,280 rows, graph", graph_us(lambda: lib.attention(batch, q, k, v, heads, band, drop, out)),
              note="<=5 us")
    table.add("attention backward, 1,280 rows, graph", graph_us(lambda: lib.attention_backward(
        batch, q, k, v, heads, band, drop, dy, out[0], out[1], memory)), note="<=9 us")
    outputs = lib.layer_norm(batch, x, q, w, b, 1e-6, drop)
    table.add("layer norm, 1,280 rows, graph", graph_us(lambda: lib.layer_norm(batch, x, q, w, b, 1e-6, drop, True, outputs)),
              note="<=4 us")


def time_all(lib):
    copy, product = ceilings()
    print(f"copy {copy:.2f} TB/s (read + written), bf16 product {product:.0f} TFLOP/s")
    table = Table(copy)
    print(table.header())
    attention_rows(table, lib, 832, 40)
    attention_rows(table, lib, 260, 128)
    row_rows(table, lib, 33_280, 768)
    optimiser_row(table, lib, 130_000_000)
    graph_rows(table, lib)
    return copy, product, table
