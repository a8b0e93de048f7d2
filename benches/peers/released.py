"""The released CA-MTL model as plain eager PyTorch: the slow peer.

Written from the equations: every input padded to the maximum length, the
modulation of every module computed once per example, a block-diagonal bias
built per example, conditional layer norms looped over the tasks of the batch,
decoders looped over tasks, and an optimiser that loops over parameters in
Python. Parameter names are the released state-dict names, so that the same
safetensors file feeds this model and camtl.
"""

import math

import torch
import torch.nn.functional as F


class Released:
    """`params` maps names to leaf tensors; `config` is the exchange file's dictionary."""

    pads_to_max_length = True

    def __init__(self, params, config):
        self.p = params
        self.c = config
        self.hidden = config["hidden_size"]
        self.heads = config["num_attention_heads"]
        self.length = config["max_length"]
        self.width = math.ceil(self.length / (self.hidden // self.length))
        self.dropout = 0.0

    def linear(self, name, x):
        return F.linear(x, self.p[name + ".weight"], self.p[name + ".bias"])

    def film(self, name, z, x):
        """FiLM with one generator call per example: (1 + gamma) x + beta."""
        gain, offset = self.linear(name + ".gb_weights", z).chunk(2, dim=-1)
        return (1 + gain).unsqueeze(1) * x + offset.unsqueeze(1)

    def drop(self, x):
        return F.dropout(x, self.dropout, training=self.dropout > 0)

    def layer_norm(self, name, x, z, tasks):
        weight, bias = self.p[name + ".weight"], self.p[name + ".bias"]
        generator = name + ".ln_weight_modulation"
        if generator + ".gb_weights.weight" not in self.p:
            return F.layer_norm(x, (self.hidden,), weight, bias, self.c["layer_norm_eps"])
        out = torch.empty_like(x)
        for task in torch.unique(tasks).tolist():
            rows = (tasks == task).nonzero().squeeze(1)
            gain, offset = self.linear(generator + ".gb_weights", z[rows[0]]).chunk(2, dim=-1)
            out[rows] = F.layer_norm(
                x[rows], (self.hidden,), (1 + gain) * weight + offset, bias, self.c["layer_norm_eps"]
            )
        return out

    def attention_bias(self, name, z):
        a = self.p[name + ".random_weight_matrix"]
        gain, offset = self.linear(name + ".cond_block_diag_attn.gb_weights", z).chunk(2, dim=-1)
        bands = (1 + gain).unsqueeze(1) * a + offset.unsqueeze(1)
        blocks = [
            torch.block_diag(*band.split(self.width, dim=0))[:, : self.length] for band in bands
        ]
        return torch.stack(blocks)

    def split_heads(self, x):
        return x.view(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)

    def attention(self, name, x, z, mask):
        q, k, v = (self.split_heads(self.linear(f"{name}.{n}", x)) for n in ("query", "key", "value"))
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        if name + ".random_weight_matrix" in self.p:
            scores = scores + self.attention_bias(name, z).unsqueeze(1)
        scores = scores + mask
        context = self.drop(scores.softmax(dim=-1)) @ v
        return context.transpose(1, 2).reshape(x.shape)

    def layer(self, index, x, z, mask, tasks):
        top = f"bert.encoder.layer.{index}."
        new = "new_" if top + "new_output.dense.weight" in self.p else ""
        attended = self.attention(top + new + "attention.self", x, z, mask)
        attended = self.drop(self.linear(top + new + "attention.output.dense", attended))
        attended = self.layer_norm(top + new + "attention.output.LayerNorm", attended + x, z, tasks)
        inner = F.gelu(self.linear(top + new + "intermediate.dense", attended))
        out = self.drop(self.linear(top + new + "output.dense", inner))
        out = self.layer_norm(top + new + "output.LayerNorm", out + attended, z, tasks)
        adapter = top + "adapter.bottleneck"
        if adapter + ".emb_transf.weight" in self.p:
            squeezed = self.film(adapter + ".hidden_modulation", self.linear(adapter + ".emb_transf", z), out)
            squeezed = self.linear(adapter + ".up_proj_layer", self.linear(adapter + ".down_proj_layer", squeezed))
            out = self.layer_norm(top + "adapter.condlayernorm", squeezed + attended, z, tasks)
        return out

    def task_vectors(self, tasks):
        """Raw and transformed task vectors, a row per example."""
        raw = F.embedding(tasks, self.p["bert.task_type_embeddings.weight"])
        return raw, self.linear("bert.encoder.task_transformation", raw)

    def pooled(self, batch):
        ids, tasks = batch["input_ids"], batch["tasks"]
        embedded = (
            F.embedding(ids, self.p["bert.embeddings.word_embeddings.weight"])
            + self.p["bert.embeddings.position_embeddings.weight"][: ids.shape[1]]
            + F.embedding(batch["token_type_ids"], self.p["bert.embeddings.token_type_embeddings.weight"])
        )
        embedded = F.layer_norm(
            embedded,
            (self.hidden,),
            self.p["bert.embeddings.LayerNorm.weight"],
            self.p["bert.embeddings.LayerNorm.bias"],
            self.c["layer_norm_eps"],
        )
        raw, z = self.task_vectors(tasks)
        x = self.film("bert.conditional_alignment", raw, self.drop(embedded))
        mask = (1.0 - batch["attention_mask"])[:, None, None, :] * -10000.0
        for index in range(self.c["num_hidden_layers"]):
            x = self.layer(index, x, z, mask, tasks)
        return self.drop(torch.tanh(self.linear("bert.pooler.dense", x[:, 0])))

    def decode(self, pooled, tasks):
        for task in torch.unique(tasks).tolist():
            rows = (tasks == task).nonzero().squeeze(1)
            yield task, rows, self.linear(f"decoders.{task}.model", pooled[rows])

    def loss(self, batch):
        losses = []
        for task, rows, logits in self.decode(self.pooled(batch), batch["tasks"]):
            labels = batch["labels"][rows]
            if self.c["num_outputs"][task] == 1:
                losses.append(F.mse_loss(logits.view(-1), labels))
            else:
                losses.append(F.cross_entropy(logits, labels.long()))
        return torch.stack(losses).mean()

    def score(self, batch):
        """Normalised entropies of the candidates, one forward pass per task as released."""
        scores = torch.zeros(len(batch["tasks"]))
        with torch.no_grad():
            for task in torch.unique(batch["tasks"]).tolist():
                rows = (batch["tasks"] == task).nonzero().squeeze(1)
                part = {name: value[rows] for name, value in batch.items()}
                logits = self.linear(f"decoders.{task}.model", self.pooled(part))
                if self.c["num_outputs"][task] > 1:
                    entropy = torch.distributions.Categorical(logits=logits).entropy()
                    scores[rows] = entropy / (math.log(self.c["num_outputs"][task]) + 1e-5)
        return scores


class LoopedAdamW:
    """AdamW of the library that the released code pins: one Python iteration per parameter."""

    def __init__(self, params, lr, max_norm):
        self.params, self.lr, self.max_norm = params, lr, max_norm
        self.state = [(torch.zeros_like(p), torch.zeros_like(p)) for p in params]
        self.steps = 0

    @torch.no_grad()
    def step(self):
        torch.nn.utils.clip_grad_norm_(self.params, self.max_norm)
        self.steps += 1
        size = self.lr * math.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
        for p, (m, v) in zip(self.params, self.state):
            if p.grad is None:
                continue
            m.mul_(0.9).add_(p.grad, alpha=0.1)
            v.mul_(0.999).addcmul_(p.grad, p.grad, value=0.001)
            p.addcdiv_(m, v.sqrt().add_(1e-8), value=-size)

    def zero_grad(self):
        for p in self.params:
            if p.grad is not None:
                p.grad.zero_()


def build(params, config):
    trained = [p for p in params.values() if p.requires_grad]
    return Released(params, config), LoopedAdamW(trained, config["learning_rate"], config["max_grad_norm"])
