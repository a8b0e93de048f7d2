"""Runs one PyTorch peer and answers one JSON line per command on standard input.

    python worker.py released|tuned FOLDER THREADS

FOLDER holds `config.json`, `model.safetensors` and `batches.safetensors`
(`NAME.input_ids`, `.token_type_ids`, `.attention_mask`, `.tasks`, `.labels`,
padded to the maximum length). Commands are objects with `op` (`loss`, `train`,
`evaluate`, `uncertainty`, `memory`, `quit`) and `batch`; `train` takes
`"dropout": false` for an update without it. `memory` answers the largest
resident size since the last `memory`.
"""

import importlib
import json
import sys
import time
from pathlib import Path

import torch

DTYPES = {"F32": torch.float32, "I64": torch.int64}


def load_file(path):
    """The tensors of a safetensors file: PyTorch is then all that this needs."""
    data = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    tensors = {}
    for name, info in json.loads(data[8:start]).items():
        if name == "__metadata__":
            continue
        begin, end = info["data_offsets"]
        dtype = DTYPES[info["dtype"]]
        count = (end - begin) // dtype.itemsize
        flat = torch.frombuffer(data, dtype=dtype, count=count, offset=start + begin)
        tensors[name] = flat.reshape(info["shape"]).clone()
    return tensors


def read(folder):
    config = json.loads((folder / "config.json").read_text())
    trained = set(config["trained"])
    params = {
        name: tensor.requires_grad_(name in trained)
        for name, tensor in load_file(folder / "model.safetensors").items()
    }
    batches = {}
    for name, tensor in load_file(folder / "batches.safetensors").items():
        batch, field = name.split(".", 1)
        batches.setdefault(batch, {})[field] = tensor
    return config, params, batches


def peak_memory():
    """Largest resident bytes since the last call; None where the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text().splitlines()
        peak = next(line for line in status if line.startswith("VmHWM:"))
        Path("/proc/self/clear_refs").write_text("5")
        return int(peak.split()[1]) * 1024
    except (OSError, StopIteration):
        return None


def trimmed(model, batch):
    """Dynamic padding: to the batch's own longest sequence."""
    if model.pads_to_max_length:
        return batch
    longest = int(batch["attention_mask"].sum(1).max())
    padded = ("input_ids", "token_type_ids", "attention_mask")
    return {k: v[:, :longest].contiguous() if k in padded else v for k, v in batch.items()}


def run(model, optimizer, config, op, batch, dropout):
    batch = trimmed(model, batch)
    if op == "loss":
        model.dropout = 0.0
        with torch.no_grad():
            return {"loss": float(model.loss(batch))}
    if op == "evaluate":
        model.dropout = 0.0
        with torch.no_grad():
            for _ in model.decode(model.pooled(batch), batch["tasks"]):
                pass
        return {}
    model.dropout = config["dropout"] if dropout else 0.0
    if op == "uncertainty":
        chosen = model.score(batch).topk(config["batch_size"]).indices.sort().values
        batch = trimmed(model, {name: value[chosen] for name, value in batch.items()})
    loss = model.loss(batch)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return {"loss": float(loss.detach())}


def main():
    kind, folder, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(threads)
    config, params, batches = read(folder)
    model, optimizer = importlib.import_module(kind).build(params, config)
    print(json.dumps({"ready": f"{kind}, PyTorch {torch.__version__}"}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        if command["op"] == "quit":
            break
        if command["op"] == "memory":
            answer = {"peak_bytes": peak_memory()}
        else:
            start = time.perf_counter()
            answer = run(
                model, optimizer, config, command["op"], batches[command["batch"]], command.get("dropout", True)
            )
            answer["seconds"] = time.perf_counter() - start
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
