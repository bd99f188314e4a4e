"""Store rows of routers made of prompts.

python tools/goldens/mergekit_moe.py --checkout PATH
"""

from __future__ import annotations

import typing

import definitions
import foreign
import moe_inputs as given
import torch
import transformers

REPOSITORY = "arcee-ai/mergekit"
COMMIT = "a6e402884ba9bc30da7f23e8304a35f19485de95"


def main() -> None:
    """Run its two ways of reading prompts on a small Llama; differences and lengths as its caller takes them."""
    path = foreign.checkout(COMMIT, __doc__ or "")
    text = definitions.source(path, COMMIT, "mergekit/moe/router.py")
    names = {"torch": torch, "transformers": transformers, **vars(typing), **vars(transformers)}
    names["CausalLMOutputWithPast"] = object
    code = definitions.take(text, ("get_hidden_states", "get_cheap_embedding"), names)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**given.LLAMA)).eval()
    model.load_state_dict(given.weights({k: tuple(v.shape) for k, v in model.state_dict().items()}))
    table, found = model.get_input_embeddings().weight.detach(), {}
    for expert, prompts in enumerate(given.PROMPTS):
        ids = torch.tensor(prompts)
        batch = transformers.BatchEncoding({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
        found[f"hidden/{expert}"] = code["get_hidden_states"](model, batch, average=False)
        found[f"hidden_avg/{expert}"] = code["get_hidden_states"](model, batch, average=True)
        layers, size = given.LLAMA["num_hidden_layers"], given.LLAMA["vocab_size"]
        found[f"cheap_embed/{expert}"] = code["get_cheap_embedding"](table, batch, layers, size)
    foreign.store("mergekit_moe", found, REPOSITORY, COMMIT, foreign.EXPERTS)


if __name__ == "__main__":
    main()
