"""A tiny model, a tokenizer trained on the spot and rows whose label can be learnt: the default tier's stand-ins
for what a hub would give. Real code loads them."""

import json
import random
from pathlib import Path

POSITIVE = ["good", "great", "happy", "love", "fine", "nice"]
NEGATIVE = ["bad", "awful", "sad", "hate", "poor", "nasty"]
NEUTRAL = ["the", "a", "day", "film", "food", "we", "saw", "it", "was", "very", "on", "monday", "with", "you"]
LABELS = ("negative", "positive")


def toy_rows(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Return `count` distinct rows `{"text", "label"}`; the label follows from one word of the text."""
    draw = random.Random(seed)
    rows: dict[str, str] = {}
    while len(rows) < count:
        label = LABELS[len(rows) % 2]
        words = draw.choices(NEUTRAL, k=draw.randint(3, 20))
        words.insert(draw.randrange(len(words)), draw.choice(POSITIVE if label == "positive" else NEGATIVE))
        rows.setdefault(" ".join(words), label)
    return [{"text": text, "label": label} for text, label in rows.items()]


def write_jsonl(path: Path, rows: list[dict[str, str]]) -> Path:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_toy_model(folder: Path, seed: int = 0, positions: int = 64) -> Path:
    """Write a 2-layer BERT encoder of 32 units and its word-piece tokenizer in the layout of `save_pretrained`."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    # Written down and not trained: a trainer's order differs from process to process, and the model's bits with it.
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,!?'"
    pieces = [*special, *POSITIVE, *NEGATIVE, *NEUTRAL, *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=positions,
    )
    fast.save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = BertConfig(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=positions,
        )
        BertModel(config).save_pretrained(folder)
    return folder
