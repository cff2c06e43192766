"""Tiny random checkpoints of many families, with tokenizers trained here on made-up words."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

import toys

CORPUS = [row["text"] for row in toys.toy_rows(200, seed=0)]
BERT_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROBERTA_TOKENS = ("<pad>", "<unk>", "<s>", "</s>", "<mask>")
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
POSITIONS = 40


def word_pieces(tokens: tuple[str, ...], order: tuple[int, ...] = (0, 1, 2, 3, 4)) -> PreTrainedTokenizerFast:
    """A word-piece tokenizer that puts its class token first and its separator last."""
    pad, unknown, cls, sep, mask = tokens
    tokenizer = Tokenizer(models.WordPiece(unk_token=unknown))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    special = [tokens[number] for number in order]
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=200, special_tokens=special))
    ids = [(token, tokenizer.token_to_id(token)) for token in (cls, sep)]
    tokenizer.post_processor = processors.TemplateProcessing(f"{cls} $A {sep}", f"{cls} $A {sep} $B {sep}", ids)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        unk_token=unknown,
        cls_token=cls,
        sep_token=sep,
        mask_token=mask,
        bos_token=cls,
        eos_token=sep,
        model_input_names=["input_ids", "attention_mask"],
    )


def unigram(tokens: tuple[str, ...], template: str) -> PreTrainedTokenizerFast:
    """A tokenizer as SentencePiece makes them: its vocabulary, special tokens in it, is searched for whole pieces."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200,
        special_tokens=list(tokens),
        unk_token="<unk>",
        initial_alphabet=sorted(set("".join(CORPUS)) | set("/s")),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    ids = [(token, tokenizer.token_to_id(token)) for token in tokens if f"{token} " in f"{template} "]
    tokenizer.post_processor = processors.TemplateProcessing(template, f"{template} $B </s>", ids)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="</s>",
        extra_special_tokens=[token for token in tokens if token.startswith("<extra")],
        model_input_names=["input_ids", "attention_mask"],
        **({"cls_token": "<s>", "bos_token": "<s>", "sep_token": "</s>"} if "<s>" in tokens else {}),
    )


def t5_pieces() -> PreTrainedTokenizerFast:
    return unigram(("<pad>", "</s>", "<unk>", "<extra_id_0>", "<extra_id_1>"), "$A </s>")


def xlm_pieces() -> PreTrainedTokenizerFast:
    return unigram(("<s>", "<pad>", "</s>", "<unk>"), "<s> $A </s>")


def whole_words() -> PreTrainedTokenizerFast:
    """A word-piece tokenizer that parts at white space alone, so that `[SEP]` is a word of its vocabulary."""
    made = word_pieces(BERT_TOKENS)
    made.backend_tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return made


def byte_pairs() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer as GPT-2's: one special token, and none to pad with."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|endoftext|>",
        bos_token="<|endoftext|>",
        model_input_names=["input_ids", "attention_mask"],
    )


def bert() -> PreTrainedTokenizerFast:
    return word_pieces(BERT_TOKENS)


def roberta() -> PreTrainedTokenizerFast:
    return word_pieces(ROBERTA_TOKENS, (2, 0, 3, 1, 4))  # its padding has id 1, behind which positions begin


def _of(family: str, head: str, **values: Any) -> Callable[[Any], Any]:
    def make(tokenizer: Any) -> Any:
        ids = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
        config = getattr(transformers, f"{family}Config")(vocab_size=len(tokenizer), **ids, **values)
        return getattr(transformers, f"{family}{head}")(config)

    return make


BERT_LIKE = {**SIZES, "max_position_embeddings": POSITIONS}
FAMILIES: dict[str, tuple[Callable[[], PreTrainedTokenizerFast], Callable[[Any], Any], int]] = {
    "albert": (bert, _of("Albert", "Model", embedding_size=16, **BERT_LIKE), 40),
    "bart": (
        roberta,
        _of(
            "Bart",
            "Model",
            d_model=16,
            encoder_layers=2,
            decoder_layers=2,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=32,
            decoder_ffn_dim=32,
            max_position_embeddings=POSITIONS,
            decoder_start_token_id=3,
        ),
        40,
    ),
    "bert": (bert, _of("Bert", "Model", **BERT_LIKE), 40),
    "deberta-v2": (
        bert,
        _of(
            "DebertaV2",
            "Model",
            relative_attention=True,
            position_buckets=16,
            pos_att_type=["p2c", "c2p"],
            norm_rel_ebd="layer_norm",
            share_att_key=True,
            position_biased_input=False,
            type_vocab_size=0,
            **BERT_LIKE,
        ),
        40,
    ),
    "distilbert": (
        bert,
        _of("DistilBert", "Model", dim=16, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=POSITIONS),
        40,
    ),
    "electra": (bert, _of("Electra", "Model", embedding_size=8, **BERT_LIKE), 40),
    "gpt2": (byte_pairs, _of("GPT2", "LMHeadModel", n_positions=POSITIONS, n_embd=16, n_layer=2, n_head=2), 40),
    "modernbert": (
        bert,
        _of("ModernBert", "Model", cls_token_id=2, sep_token_id=3, **BERT_LIKE),
        40,
    ),
    "mpnet": (roberta, _of("MPNet", "Model", **BERT_LIKE), 38),
    "roberta": (roberta, _of("Roberta", "Model", type_vocab_size=1, **BERT_LIKE), 38),
    "t5": (
        t5_pieces,
        _of(
            "T5",
            "ForConditionalGeneration",
            d_model=16,
            d_kv=8,
            d_ff=32,
            num_layers=2,
            num_decoder_layers=2,
            num_heads=2,
            decoder_start_token_id=0,
        ),
        200,
    ),
    "t5-encoder": (
        t5_pieces,
        _of("T5", "EncoderModel", d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2),
        200,
    ),
    "xlm-roberta": (xlm_pieces, _of("XLMRoberta", "ForMaskedLM", type_vocab_size=1, **BERT_LIKE), 38),
}
"""Name → tokenizer, model, most tokens that it takes."""

XLM_SIZES = {"emb_dim": 16, "n_layers": 2, "n_heads": 2, "max_position_embeddings": POSITIONS}
SIBLINGS: dict[str, tuple[Callable[[], PreTrainedTokenizerFast], Callable[[Any], Any], int]] = {
    "bigbird": (bert, _of("BigBird", "Model", attention_type="block_sparse", block_size=4, **BERT_LIKE), 40),
    "bloom": (byte_pairs, _of("Bloom", "ForCausalLM", hidden_size=16, n_layer=2, n_head=2), 200),
    "camembert": (xlm_pieces, _of("Camembert", "ForMaskedLM", type_vocab_size=1, **BERT_LIKE), 38),
    "canine": (bert, _of("Canine", "Model", **BERT_LIKE), 40),
    "eurobert": (byte_pairs, _of("EuroBert", "Model", **BERT_LIKE), 40),
    "funnel": (
        bert,
        _of("Funnel", "Model", block_sizes=[1, 1], d_model=16, n_head=2, d_head=8, d_inner=32, num_decoder_layers=1),
        200,
    ),
    "gpt-neox": (byte_pairs, _of("GPTNeoX", "ForCausalLM", **BERT_LIKE), 40),
    "ibert": (roberta, _of("IBert", "Model", **BERT_LIKE), 38),
    "llama": (byte_pairs, _of("Llama", "ForCausalLM", num_key_value_heads=2, **BERT_LIKE), 40),
    "longformer": (roberta, _of("Longformer", "Model", attention_window=[4, 4], **BERT_LIKE), 38),
    "xlm": (roberta, _of("XLM", "Model", **XLM_SIZES), 40),
}
"""Families that the documentation does not name, each with names, positions or parts of a way of its own."""


def write_checkpoint(name: str, folder: Path) -> Path:
    """Save one family in the layout of `save_pretrained`."""
    tokenizer, model, _ = (FAMILIES | SIBLINGS)[name]
    made = tokenizer()
    torch.manual_seed(0)
    model(made).save_pretrained(folder)
    made.save_pretrained(folder)
    return folder
