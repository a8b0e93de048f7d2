"""Every kernel against float64 compositions of torch operations, on fresh random inputs.

Outputs and workspaces are NaN before each run; each run is done twice and must
agree bit for bit.
"""

import torch

from bindings import Batch, dropout, no_dropout


def attention_reference(batch, q, k, v, heads, band):
    """softmax(q k' / sqrt(d) + M) v per sequence, in float64 with gradients."""
    d = q.shape[1] // heads
    rows = []
    for begin, n, task in zip(batch.starts, batch.lengths, batch.tasks):
        if n == 0:
            continue
        split = lambda x: x[begin:begin + n].view(n, heads, d).transpose(0, 1)
        scores = split(q) @ split(k).transpose(1, 2) / d ** 0.5
        if band is not None:
            w = band.shape[2]
            i = torch.arange(n, device=q.device)
            c = i[None, :] - (i // w * w)[:, None]
            inside = (c >= 0) & (c < w)
            bias = torch.gather(band[task, :n], 1, c.clamp(0, w - 1)) * inside
            scores = scores + bias
        rows.append((scores.softmax(-1) @ split(v)).transpose(0, 1).reshape(n, heads * d))
    return torch.cat(rows)


class Report:
    def __init__(self):
        self.rows, self.failed = [], 0

    def close(self, kernel, name, got, expected, tolerance):
        got, expected = got.double(), expected.double()
        scale = expected.norm().item()
        error = ((got - expected).norm() / (scale if scale > 0 else 1.0)).item()
        good = error <= tolerance  # NaN is not
        self.rows.append((kernel, name, error, tolerance, good))
        self.failed += not good

    def same(self, kernel, first, second):
        good = all(torch.equal(a, b) for a, b in zip(first, second) if a is not None)
        self.rows.append((kernel, "two runs bit-equal", 0.0 if good else float("nan"), 0.0, good))
        self.failed += not good

    def text(self):
        worst = {}
        for kernel, name, error, tolerance, good in self.rows:
            key = (kernel, name)
            if key not in worst or not good or error > worst[key][0]:
                worst[key] = (error, tolerance, good)
        lines = [f"{'kernel':31}{'output':22}{'relative error':>16}{'tolerance':>12}"]
        for (kernel, name), (error, tolerance, good) in worst.items():
            lines.append(f"{kernel:31}{name:22}{error:16.2e}{tolerance:12.0e}{'' if good else '  FAILED'}")
        return "\n".join(lines)


def leaf(x):
    return x.detach().double().requires_grad_(True)


def check_attention(lib, report, lengths, heads, head_dim, width, band_rows, tasks):
    device = lib.device
    batch = Batch(lengths, sorted(i % tasks for i in range(len(lengths))), tasks, device)
    shape = (batch.rows, heads * head_dim)
    q, k, v, dout = (torch.randn(shape, device=device).bfloat16() for _ in range(4))
    band = torch.randn(tasks, band_rows, width, device=device)
    name = f"attention {head_dim}, {'<=128' if batch.max_length <= 128 else '>128'}"
    run = lambda: lib.attention(batch, q, k, v, heads, band, no_dropout())
    (out, logs), again = run(), run()
    report.same(name, (out, logs), again)
    grads = lambda: lib.attention_backward(batch, q, k, v, heads, band, no_dropout(), dout, out, logs)
    got, second = grads(), grads()
    report.same(name + " backward", got, second)
    leaves = [leaf(x) for x in (q, k, v, band)]
    expected = attention_reference(batch, *leaves[:3], heads, leaves[3])
    expected.backward(dout.double())
    report.close(name, "out", out, expected.detach(), 4e-3)
    for label, mine, theirs, tolerance in zip(("dq", "dk", "dv", "dband"), got, leaves, (8e-3, 8e-3, 8e-3, 2e-3)):
        report.close(name + " backward", label, mine, theirs.grad, tolerance)
    # Dropout by replay: with identity values the output is the masked probabilities themselves.
    n = min(head_dim, batch.max_length)
    single = Batch([n], [0], tasks, device)
    eye = torch.zeros(n, heads * head_dim, device=device)
    for head in range(heads):
        eye[:, head * head_dim:head * head_dim + n] = torch.eye(n, device=device)
    eye = eye.bfloat16()
    flat = torch.zeros(n, heads * head_dim, device=device).bfloat16()
    out, _ = lib.attention(single, flat, flat, eye, heads, None, dropout(0.25, 5))
    kept = (out != 0).float()[:, :n].mean().item()
    report.close(name, "dropout kept", torch.tensor(kept), torch.tensor(0.75), 0.08)


def check_rows(lib, report, lengths, columns, tasks, dtype):
    device = lib.device
    batch = Batch(lengths, sorted(i % tasks for i in range(len(lengths))), tasks, device)
    n, t = batch.rows, batch.row_tasks
    out_tolerance, sum_tolerance = (4e-3, 4e-3) if dtype == torch.bfloat16 else (1e-5, 1e-5)
    draw = lambda *shape: torch.randn(*shape, device=device)
    x, r, dy = (draw(n, columns).to(dtype) for _ in range(3))
    w, b = 1 + 0.3 * draw(tasks, columns), draw(tasks, columns)
    suffix = " bf16" if dtype == torch.bfloat16 else " fp32"
    # Layer norm; the mask is read off a run with ones.
    drop = dropout(0.1, 77)
    ones, zeros = torch.ones_like(x), torch.zeros_like(x)
    raw = lib.layer_norm(batch, ones, zeros, w, b, 1e-6, drop)[1]
    mask = (raw != 0).double() / 0.9
    run = lambda: lib.layer_norm(batch, x, r, w, b, 1e-6, drop)
    forward, again = run(), run()
    report.same("layer norm" + suffix, forward, again)
    grads = lambda: lib.layer_norm_backward(batch, dy, forward[1], forward[2], forward[3], w, drop)
    got, second = grads(), grads()
    report.same("layer norm backward" + suffix, got, second)
    lx, lr, lw, lb = (leaf(a) for a in (x, r, w, b))
    z = lx * mask + lr
    y = torch.nn.functional.layer_norm(z, (columns,), eps=1e-6) * lw[t] + lb[t]
    y.backward(dy.double())
    report.close("layer norm" + suffix, "y", forward[0], y.detach(), out_tolerance)
    for label, mine, theirs, tolerance in (
            ("dz", got[0], lr.grad, 2 * out_tolerance), ("dx", got[1], lx.grad, 2 * out_tolerance),
            ("dweight", got[2], lw.grad, sum_tolerance), ("dbias", got[3], lb.grad, 1e-5),
            ("dx sums", got[4], lx.grad.sum(0), sum_tolerance)):
        report.close("layer norm backward" + suffix, label, mine, theirs, tolerance)
    # FiLM.
    y = lib.film(batch, x, w, b)
    report.close("film" + suffix, "y", y, (1 + w.double()[t]) * x.double() + b.double()[t], out_tolerance)
    dx, dg, db = lib.film_backward(batch, dy, x, w)
    per_task = lambda v: torch.zeros(tasks, columns, dtype=torch.float64, device=device).index_add(0, t, v)
    report.close("film" + suffix, "dx", dx, (1 + w.double()[t]) * dy.double(), out_tolerance)
    report.close("film" + suffix, "dgamma", dg, per_task(dy.double() * x.double()), 1e-5)
    report.close("film" + suffix, "dbeta", db, per_task(dy.double()), 1e-5)
    # GELU.
    bias = draw(columns)
    lx, lb = leaf(x), leaf(bias)
    y = torch.nn.functional.gelu(lx + lb)
    y.backward(dy.double())
    report.close("gelu" + suffix, "y", lib.gelu(x, bias), y.detach(), out_tolerance)
    dx, db = lib.gelu_backward(dy, x, bias)
    report.close("gelu" + suffix, "dx", dx, lx.grad, out_tolerance)
    report.close("gelu" + suffix, "dbias", db, lb.grad, 1e-5)
    # Embedding.
    ids = [torch.randint(high, (n,), device=device, dtype=torch.int32) for high in (97, 2, 64)]
    tables = [draw(97, columns), draw(2, columns), draw(64, columns), draw(columns), draw(columns), w, b]
    y = lib.embedding(batch, ids, tables, 1e-6, no_dropout(), dtype)[0]
    d = [a.double() for a in tables]
    total = d[0][ids[0].long()] + d[1][ids[1].long()] + d[2][ids[2].long()]
    expected = torch.nn.functional.layer_norm(total, (columns,), d[3], d[4], 1e-6)
    report.close("embedding" + suffix, "y", y, (1 + d[5][t]) * expected + d[6][t], out_tolerance)


def check_optimiser(lib, report, count):
    device = lib.device
    p, g, m = (torch.randn(count, device=device) for _ in range(3))
    v = torch.rand(count, device=device)
    e = [x.double() for x in (p, m, v)]
    norm, clip = lib.norm(g, 1.0)
    report.same("gradient norm", (norm,), lib.norm(g, 1.0)[:1])
    report.close("gradient norm", "norm", norm[0], g.double().norm(), 1e-6)
    shadow = lib.poisoned((count,), torch.bfloat16)
    lib.adamw(p, g, m, v, lib.adamw_step(1e-2, 0.9, 0.999, 0.1, 3), clip, shadow)
    gradient = g.double() * clip.double()
    em = 0.9 * e[1] + 0.1 * gradient
    ev = 0.999 * e[2] + 0.001 * gradient ** 2
    ep = e[0] * (1 - 1e-3) - 1e-2 / (1 - 0.9 ** 3) * em / ((ev / (1 - 0.999 ** 3)).sqrt() + 1e-8)
    for name, mine, theirs, tolerance in (("param", p, ep, 1e-6), ("exp_avg", m, em, 1e-6),
                                          ("exp_avg_sq", v, ev, 1e-6), ("shadow", shadow, ep, 4e-3)):
        report.close("adamw", name, mine, theirs, tolerance)


def check_heads(lib, report, sequences):
    device = lib.device
    outputs = [2, 3, 1, 2, 2, 2, 2, 3]
    offsets = [sum(outputs[:i]) for i in range(9)]
    tasks = sorted(i % 8 for i in range(sequences))
    batch = Batch([1] * sequences, tasks, 8, device)
    as_int = lambda x: torch.tensor(x, dtype=torch.int32, device=device)
    logits = torch.randn(sequences, offsets[-1], device=device)
    classes = as_int([i % outputs[t] for i, t in enumerate(tasks)])
    scores = torch.randn(sequences, device=device)
    loss, entropy, h = lib.heads(batch, logits, as_int(offsets), as_int([int(i == 2) for i in range(8)]), classes, scores)
    dloss = torch.randn(sequences, device=device)
    d = lib.heads_backward(batch, logits, h, dloss)
    said = leaf(logits)
    losses, entropies = [], []
    for i, t in enumerate(tasks):
        row = said[i, offsets[t]:offsets[t + 1]]
        if t == 2:
            losses.append((row[0] - scores[i].double()) ** 2)
            entropies.append(torch.zeros((), dtype=torch.float64, device=device))
        else:
            log_p = row.log_softmax(0)
            losses.append(-log_p[classes[i].long()])
            entropies.append(-(log_p.exp() * log_p).sum().detach())
    expected = torch.stack(losses)
    expected.backward(dloss.double())
    report.close("heads", "loss", loss, expected.detach(), 1e-5)
    report.close("heads", "entropy", entropy, torch.stack(entropies), 1e-5)
    report.close("heads", "dlogits", d, said.grad, 1e-5)
    wanted = min(32, sequences)
    best = lib.top_scores(entropy, wanted)
    report.close("top scores", "indices", best.double(), torch.sort(entropy, descending=True, stable=True)[1][:wanted].double(), 0.0)


def check_all(lib, small):
    report = Report()
    torch.manual_seed(torch.seed() % 2**31)
    edge = [0, 1, 15, 16, 17]
    heads = 2 if small else 12
    for head_dim in (64, 32):
        check_attention(lib, report, edge + [127, 128, 40], heads, head_dim, 22, 128, 3)
        check_attention(lib, report, edge + [33, 64], heads, head_dim, 43, 128, 2)
        check_attention(lib, report, edge + [32, 31], heads, head_dim, 16, 128, 1)
        check_attention(lib, report, edge + [129, 256] + ([] if small else [512, 255]), heads, head_dim, 86, 512, 3)
    for columns in (384, 768, 1024) if not small else (384,):
        for dtype in (torch.bfloat16, torch.float32):
            check_rows(lib, report, edge + [40, 40] * (2 if small else 60), columns, 3, dtype)
    check_optimiser(lib, report, 10_007 if small else 10_000_019)
    check_heads(lib, report, 37 if small else 256)
    return report
