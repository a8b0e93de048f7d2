"""Whole steps of the PyTorch peers on the GPU, at the shapes and lengths of camtl-step.

    python3 steps.py [--seconds N]
    python3 steps.py --table FILE

Prints one JSON object per line: released (float32 and bf16 autocast) and tuned
(bf16 autocast, dynamic padding), training of 32 examples and scoring of 256
candidates of eight tasks. Weights are random. With --table, prints the ratios of
a file that holds the lines of camtl-step and of this script, from one run.
"""

import argparse
import json
import math
import time

import torch

import released
import tuned

SHAPES = {"minilm": (384, 6, 12), "base": (768, 12, 12), "large": (1024, 24, 16)}
TASKS, BATCH, CANDIDATES, VOCABULARY, LENGTH = 8, 32, 256, 28_996, 128


def parameters(hidden, layers):
    """The released base model's tensors by name; normal weights, norms at one and zero."""
    width = math.ceil(LENGTH / (hidden // LENGTH))
    p = {}

    def weight(name, *shape):
        p[name] = (0.02 * torch.randn(*shape)).requires_grad_()

    def linear(name, rows, columns):
        weight(name + ".weight", rows, columns)
        p[name + ".bias"] = torch.zeros(rows, requires_grad=True)

    def norm(name, conditional):
        p[name + ".weight"] = torch.ones(hidden, requires_grad=True)
        p[name + ".bias"] = torch.zeros(hidden, requires_grad=True)
        if conditional:
            linear(name + ".ln_weight_modulation.gb_weights", 2 * hidden, hidden)

    weight("bert.embeddings.word_embeddings.weight", VOCABULARY, hidden)
    weight("bert.embeddings.position_embeddings.weight", 512, hidden)
    weight("bert.embeddings.token_type_embeddings.weight", 2, hidden)
    norm("bert.embeddings.LayerNorm", False)
    weight("bert.task_type_embeddings.weight", TASKS, hidden)
    linear("bert.encoder.task_transformation", hidden, hidden)
    linear("bert.conditional_alignment.gb_weights", 2 * hidden, hidden)
    for index in range(layers):
        top = f"bert.encoder.layer.{index}."
        new = "new_" if index == layers - 1 else ""
        for part in ("query", "key", "value"):
            linear(f"{top}{new}attention.self.{part}", hidden, hidden)
        weight(f"{top}{new}attention.self.random_weight_matrix", LENGTH, width)
        linear(f"{top}{new}attention.self.cond_block_diag_attn.gb_weights", 2 * width, hidden)
        linear(f"{top}{new}attention.output.dense", hidden, hidden)
        norm(f"{top}{new}attention.output.LayerNorm", index >= layers // 2)
        linear(f"{top}{new}intermediate.dense", 4 * hidden, hidden)
        linear(f"{top}{new}output.dense", hidden, 4 * hidden)
        norm(f"{top}{new}output.LayerNorm", index >= layers // 2)
    adapter, small = f"bert.encoder.layer.{layers - 1}.adapter.", hidden // 3
    linear(adapter + "bottleneck.emb_transf", hidden, hidden)
    linear(adapter + "bottleneck.hidden_modulation.gb_weights", 2 * hidden, hidden)
    linear(adapter + "bottleneck.down_proj_layer", small, hidden)
    linear(adapter + "bottleneck.up_proj_layer", hidden, small)
    norm(adapter + "condlayernorm", True)
    linear("bert.pooler.dense", hidden, hidden)
    for task in range(TASKS):
        linear(f"decoders.{task}.model", 2, hidden)
    return p


def lengths_of(name, count):
    """Those of camtl-step: 12 to 68 evenly, or all 128."""
    if name == "full128":
        return [LENGTH] * count
    return [12 + (n * 23 % count) * 56 // (count - 1) for n in range(count)]


def batch_of(name, count, dynamic):
    lengths = torch.tensor(lengths_of(name, count))
    longest = int(lengths.max()) if dynamic else LENGTH
    mask = (torch.arange(longest) < lengths[:, None]).float()
    ids = torch.randint(1000, VOCABULARY, (count, longest)) * mask.long()
    tasks = torch.arange(count) * TASKS // count
    return {"input_ids": ids, "token_type_ids": torch.zeros_like(ids), "attention_mask": mask, "tasks": tasks,
            "labels": (torch.arange(count) % 2).float()}


def median_ms(step, seconds):
    for _ in range(2):
        step()
    torch.cuda.synchronize()
    times, begun = [], time.perf_counter()
    while len(times) < 3 or (time.perf_counter() - begun < seconds and len(times) < 15):
        start = time.perf_counter()
        step()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - start) * 1000)
    return sorted(times)[len(times) // 2]


# What kernels.md expects at least: training and scoring against released float32, and training
# against released bf16 and tuned bf16.
WANTED = {("base", "mean40"): (11, 20, 13, 2), ("base", "full128"): (6, None, 7, 1.3),
          ("large", "mean40"): (10, None, 9, None), ("minilm", "mean40"): (22, None, 24, None)}


def print_table(path):
    ours, peers = {}, {}
    with open(path, encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            if "case" in line:
                print(f"{line['case']:32} loss {line['loss']:.1e}  gradient {line['gradient']:.1e} of the CPU's, "
                      f"two runs {'equal' if line['bit_equal'] else 'DIFFER'}{'' if line['good'] else '  FAILED'}")
            elif "graphs" in line:
                print(f"{'graphs, ' + line['graphs']:32} {line['replays']} of {line['calls']} calls replayed, bits "
                      f"{'equal' if line['bit_equal'] else 'DIFFER'}{'' if line['good'] else '  FAILED'}")
            elif "problem" in line:
                print(f"{line['problem']}  FAILED")
            elif "peer" in line:
                peers[line["peer"], line["precision"], line["shape"], line["lengths"]] = line
            elif "shape" in line:
                ours.setdefault((line["precision"], line["shape"], line["lengths"]), line)
    print(f"\n{'shape, lengths':26}{'ours bf16, ms':>16}" + "".join(
        f"{name:>18}" for name in ("released fp32", "released bf16", "tuned bf16", "ours fp32")) + "   (train / score)")
    for shape in SHAPES:
        for lengths in ("mean40", "full128"):
            line = ours.get(("bfloat16", shape, lengths))
            if line is None:
                continue
            others = [peers.get(("released", "float32", shape, lengths)),
                      peers.get(("released", "bfloat16", shape, lengths)),
                      peers.get(("tuned", "bfloat16", shape, lengths)), ours.get(("float32", shape, lengths))]
            train, score, mixed, tuned_ratio = WANTED.get((shape, lengths), (None,) * 4)
            wanted = [f"{name} >= {value}" for name, value in (
                ("train/fp32", train), ("score/fp32", score), ("train/bf16", mixed), ("train/tuned", tuned_ratio))
                if value]
            for name, prefix in ((f"{shape}, {lengths}", ""), (f"{shape}, {lengths}, graphs", "graph_")):
                if prefix + "train_ms" not in line:
                    continue
                mine = [line[prefix + "train_ms"], line[prefix + "score_ms"]]
                row = f"{name:26}{mine[0]:8.2f}{mine[1]:8.2f}"
                for other in others:
                    row += "                 -" if other is None else (
                        f"{other['train_ms'] / mine[0]:9.2f}x{other['score_ms'] / mine[1]:7.2f}x")
                print(row + ("   wanted: " + ", ".join(wanted) if wanted else ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.5, help="time for each case")
    parser.add_argument("--table", help="print the ratios in this file")
    options = parser.parse_args()
    if options.table:
        return print_table(options.table)
    seconds = options.seconds
    torch.set_default_device("cuda")
    for shape, (hidden, layers, heads) in SHAPES.items():
        config = {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
                  "max_length": LENGTH, "layer_norm_eps": 1e-12, "num_outputs": [2] * TASKS,
                  "learning_rate": 2e-5, "max_grad_norm": 1.0}
        for peer, module in (("released", released), ("tuned", tuned)):
            params = parameters(hidden, layers)
            model, optimizer = module.build(params, config)
            model.dropout = 0.1
            for lengths in ("mean40", "full128"):
                batch = batch_of(lengths, BATCH, peer == "tuned")
                candidates = batch_of(lengths, CANDIDATES, peer == "tuned")
                for precision in ("float32", "bfloat16"):
                    mixed = torch.autocast("cuda", dtype=torch.bfloat16, enabled=precision == "bfloat16")

                    def train():
                        with mixed:
                            loss = model.loss(batch)
                        loss.backward()
                        optimizer.step()
                        optimizer.zero_grad()

                    def score():
                        with mixed:
                            model.score(candidates)

                    print(json.dumps({"peer": peer, "shape": shape, "lengths": lengths, "precision": precision,
                                      "train_ms": round(median_ms(train, seconds), 3),
                                      "score_ms": round(median_ms(score, seconds), 3)}), flush=True)


if __name__ == "__main__":
    main()
