"""The same model as PyTorch allows at its best: the strong peer.

Batches are padded only to their own longest sequence, attention goes through
`scaled_dot_product_attention` with an additive bias, every modulation is
computed once per task and gathered, all candidates are scored in one pass, and
the optimiser is PyTorch's fused AdamW.
"""

import math

import torch
import torch.nn.functional as F

from released import Released


class Tuned(Released):
    pads_to_max_length = False

    def task_vectors(self, tasks):
        """A row per task of the batch; `where` maps examples to those rows."""
        present, self.where = torch.unique(tasks, return_inverse=True)
        return super().task_vectors(present)

    def film(self, name, z, x):
        gain, offset = self.linear(name + ".gb_weights", z).chunk(2, dim=-1)
        return torch.addcmul(offset[self.where].unsqueeze(1), 1 + gain[self.where].unsqueeze(1), x)

    def layer_norm(self, name, x, z, tasks):
        weight, bias = self.p[name + ".weight"], self.p[name + ".bias"]
        generator = name + ".ln_weight_modulation.gb_weights"
        if generator + ".weight" not in self.p:
            return F.layer_norm(x, (self.hidden,), weight, bias, self.c["layer_norm_eps"])
        gain, offset = self.linear(generator, z).chunk(2, dim=-1)
        scale = ((1 + gain) * weight + offset)[self.where].unsqueeze(1)
        normed = F.layer_norm(x, (self.hidden,), eps=self.c["layer_norm_eps"])
        return torch.addcmul(bias, normed, scale)

    def attention_bias(self, name, z, length):
        a = self.p[name + ".random_weight_matrix"][:length]
        gain, offset = self.linear(name + ".cond_block_diag_attn.gb_weights", z).chunk(2, dim=-1)
        bands = torch.addcmul(offset.unsqueeze(1), 1 + gain.unsqueeze(1), a)
        rows = torch.arange(length).unsqueeze(1)
        columns = (rows // self.width) * self.width + torch.arange(self.width)
        inside = columns < length
        bias = bands.new_zeros(len(bands), length, length)
        index = columns.clamp(max=length - 1).expand_as(bands)
        bias = bias.scatter_add(2, index, bands * inside)
        return bias[self.where]

    def attention(self, name, x, z, mask):
        q, k, v = (self.split_heads(self.linear(f"{name}.{n}", x)) for n in ("query", "key", "value"))
        bias = mask
        if name + ".random_weight_matrix" in self.p:
            bias = self.attention_bias(name, z, x.shape[1]).unsqueeze(1) + mask
        context = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=self.dropout)
        return context.transpose(1, 2).reshape(x.shape)

    def score(self, batch):
        """All candidates in one pass, without dropout as camtl does it: dropout keeps
        attention off its fused path, and only the released code needs it here."""
        scores = torch.zeros(len(batch["tasks"]))
        dropout, self.dropout = self.dropout, 0.0
        with torch.no_grad():
            for task, rows, logits in self.decode(self.pooled(batch), batch["tasks"]):
                outputs = self.c["num_outputs"][task]
                if outputs > 1:
                    logp = logits.log_softmax(dim=-1)
                    scores[rows] = -(logp.exp() * logp).sum(-1) / (math.log(outputs) + 1e-5)
        self.dropout = dropout
        return scores


class FusedAdamW:
    """Clipping and PyTorch's fused AdamW."""

    def __init__(self, params, lr, max_norm):
        self.params, self.max_norm = params, max_norm
        self.adamw = torch.optim.AdamW(params, lr=lr, weight_decay=0.0, fused=True)

    def step(self):
        torch.nn.utils.clip_grad_norm_(self.params, self.max_norm, foreach=True)
        self.adamw.step()

    def zero_grad(self):
        self.adamw.zero_grad(set_to_none=True)


def build(params, config):
    trained = [p for p in params.values() if p.requires_grad]
    return Tuned(params, config), FusedAdamW(trained, config["learning_rate"], config["max_grad_norm"])
