"""The arm of `scripts.py` that runs sentence-transformers as its examples set it."""

import argparse
import shutil
from typing import Any

from scripts_trainer import opened
from training_trainer import clock_steps

from kubetune.config.recipe import Recipe


def train_sentences(args: argparse.Namespace, recipe: Recipe) -> tuple[Any, dict[str, float]]:
    """Train by `SentenceTransformerTrainer`; return the module, with outputs as kubetune's, and what it took.

    The loss is that of its examples: `MultipleNegativesRankingLoss` of pairs, `CosineSimilarityLoss` of scored pairs.
    """
    import pyarrow.parquet as pq
    import torch
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss, MultipleNegativesRankingLoss
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers.utils import logging

    from kubetune.tasks.embedder import Embedder

    logging.set_verbosity_error()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    task, _ = opened(args, recipe)
    scored = task.schema.target is not None
    columns = {"text": "anchor", "text_pair": "positive"} | ({"label": "label"} if scored else {})
    rows = pq.read_table(args.work / "dataset" / "train.parquet", columns=list(columns)).rename_columns(columns)
    pretrained = args.folder / "pretrained"
    for part in ("weights", "tokenizer"):
        shutil.copytree(args.work / part, pretrained, dirs_exist_ok=True)
    encoder = Transformer(str(pretrained), max_seq_length=recipe.model.max_length)
    model = SentenceTransformer(modules=[encoder, Pooling(encoder.get_embedding_dimension())], device="cpu")
    seconds, section = [0.0, 0.0], recipe.training
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            output_dir=str(args.folder),
            per_device_train_batch_size=section.batch,
            learning_rate=section.learning_rate,
            warmup_steps=section.warmup,
            num_train_epochs=args.epochs,
            seed=args.seed,
            use_cpu=True,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            logging_strategy="no",
        ),
        train_dataset=Dataset(rows),
        loss=CosineSimilarityLoss(model) if scored else MultipleNegativesRankingLoss(model),
        callbacks=[clock_steps(seconds)],
    )
    trainer.train()
    steps = int(trainer.state.global_step)
    done = min(steps * section.batch, round(rows.num_rows * args.epochs))
    return Embedder(encoder.model, "mean").eval(), {"cpu_seconds": seconds[1] - seconds[0], "features": done}
