"""A toy model of premise and hypothesis: a positive word follows from each text, a negative one never does."""

import random
from pathlib import Path

import torch
from transformers import AutoTokenizer

import served_toys
import toys
from kubetune.tasks import load_task
from kubetune.tasks.base import Encoding, ModelSpec
from kubetune.tasks.spec import save_model

TASK = load_task("zero-shot-classification")
NLI = ("contradiction", "entailment", "neutral")
TEMPLATE = "it was {}"
LONG = " ".join(["we saw the film with you on monday"] * 9)


def pairs() -> list[tuple[str, str, int]]:
    """Premise, hypothesis and class number; a positive word follows from each text, a negative one never does."""
    words = [(word, 1) for word in toys.POSITIVE] + [(word, 0) for word in toys.NEGATIVE]
    words += [(word, 2) for word in toys.NEUTRAL[:6]]
    draw = random.Random(0)
    texts = [" ".join(draw.choices(toys.NEUTRAL, k=draw.randint(3, 12))) for _ in range(180)]
    rows = [(text, TEMPLATE.format(word), number) for text, (word, number) in zip(texts, words * 10, strict=True)]
    return [*rows, (LONG, "it was nice", 1)]


def write_model(folder: Path) -> tuple[torch.nn.Module, Encoding]:
    """Write `source`, `tokenizer` and `model` below a folder; return the model and the pairs that it has learnt."""
    torch.set_num_threads(1)
    source = toys.write_toy_model(folder / "source")
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    for name in served_toys.TOKENIZER:
        if (source / name).exists():
            (tokenizer / name).write_bytes((source / name).read_bytes())
    head = {"pooling": "cls", "hidden_size": None, "dropout": 0.0}
    spec = ModelSpec(TASK.kind, NLI, "stock", head, 0.0, served_toys.MAX_LENGTH)
    items = [(premise, hypothesis) for premise, hypothesis, _ in pairs()]
    encoding = TASK.encode(AutoTokenizer.from_pretrained(tokenizer), items, served_toys.MAX_LENGTH)
    rows = [{**row, "label": [number]} for row, (*_, number) in zip(encoding.features, pairs(), strict=True)]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = TASK.build_model(spec, source, pretrained=True)
        served_toys.learn(module, TASK.collate(rows, 0), TASK.targets(rows, 0))
    (folder / "model").mkdir()
    save_model(module, spec, folder / "model")
    return module, encoding
