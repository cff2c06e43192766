"""What a pretrained model can take, tried on the CPU before step 1: found in seconds, and named."""

from collections.abc import Mapping, Sequence

import torch
from transformers import PreTrainedModel

from kubetune.errors import ConfigError
from kubetune.tasks.base import Feature, ModelSpec, Task

OUT_OF_MEMORY = ("can't allocate memory", "not enough memory")
TOLERANCE = 1e-3
"""Of logits, relative to the largest: far above what fp32 rounds, far below what a read padding token changes."""


def try_model(
    task: Task, module: torch.nn.Module, spec: ModelSpec, row: Feature, pad_token_id: int, vocabulary: int
) -> None:
    """Run the longest row that the recipe allows, with the tokenizer's highest id, forward and backward.

    No weight moves and no random number is drawn.

    Args:
        task: What collates and judges.
        module: On the CPU, in fp32.
        spec: What it was built from.
        row: A row of the data set, with the tokenizer's own special tokens.
        pad_token_id: What to pad with.
        vocabulary: The tokenizer's highest id, and one; 0: not known.

    Raises:
        ConfigError: The tokenizer has tokens that the model has no embedding for, the pass fails, or answers depend
            on the padding or on nothing but the first token.
    """
    _check_vocabulary(module, vocabulary)
    row = {name: [int(value) for value in values] for name, values in row.items()}
    highest = vocabulary - 1 if vocabulary else max(row["input_ids"])
    training = module.training
    module.eval()
    try:
        longest = _stretched(row, spec.max_length, highest)
        logits = _logits(task, module, [longest], pad_token_id)
        targets = task.targets([longest], len(longest["input_ids"]))
        task.losses(logits, targets).sum().backward()  # type: ignore[no-untyped-call]
        with torch.inference_mode():
            alone = _logits(task, module, [row], pad_token_id)
            padded = _logits(task, module, [row], pad_token_id, pad_to=min(spec.max_length, len(row["input_ids"]) + 8))
            first = _first_states(module, row, spec)
    except Exception as error:  # a model can fail in ways that no list names
        if _out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"This model cannot be trained as the recipe asks: a row of {spec.max_length} tokens fails with "
            f"{type(error).__name__} ({reason}); lower model.max_length, try the other model.head.kind, or use another "
            "model."
        ) from error
    finally:
        module.zero_grad(set_to_none=True)
        module.train(training)
    padded = padded[:, : alone.shape[1]]  # of a head that reads each token: what belongs to the row
    if float((alone - padded).abs().max()) > TOLERANCE * max(1.0, float(alone.abs().max())):
        raise ConfigError(
            "The model's answers depend on the padding behind a text (it reads from the right, or knows no mask): use "
            "an encoder that is padded on the right."
        )
    if first:
        raise ConfigError(
            "model.head.pooling=cls reads the first token, which sees nothing of the text in a model that reads from "
            "left to right: use model.head.pooling=mean or model.head.kind=stock."
        )


def check_positions(network: PreTrainedModel, max_length: int) -> None:
    """Refuse more tokens than the network has positions for.

    RoBERTa and its kin count positions from behind the padding token's id, so that 514 of them hold 512 tokens.

    Raises:
        ConfigError: Says how many tokens it takes.
    """
    stated = getattr(network.config, "max_position_embeddings", None)
    if not stated or stated < 1:  # relative positions, as T5 has
        return
    reserved = 0
    for name, part in network.named_modules():
        padding = getattr(part, "padding_idx", None) if "position" in name.rpartition(".")[2] else None
        if padding is not None:
            reserved = int(padding) + 1
    if max_length > stated - reserved:
        behind = f", of which {reserved} are reserved" if reserved else ""
        raise ConfigError(
            f"model.max_length is {max_length}: this encoder has {stated} positions{behind}; allowed are at most "
            f"{stated - reserved}."
        )


def _out_of_memory(error: Exception) -> bool:
    """Whether the machine is too small, not the model unfit: PyTorch's CPU allocator says so in words alone."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)


def _check_vocabulary(module: torch.nn.Module, vocabulary: int) -> None:
    for part in module.modules():
        if isinstance(part, PreTrainedModel):
            held = _embeddings(part)
            if held is not None and vocabulary > held:
                raise ConfigError(
                    f"The tokenizer has {vocabulary} tokens and the model embeddings for {held}: "
                    "tokens were added to one of them alone. Save the checkpoint again after "
                    "`model.resize_token_embeddings(len(tokenizer))`, or use the tokenizer that it was trained with."
                )
            return


def _embeddings(network: PreTrainedModel) -> int | None:
    """Return how many tokens have an embedding; None: it has no table of them (CANINE hashes characters)."""
    try:
        weight = getattr(network.get_input_embeddings(), "weight", None)
    except (NotImplementedError, AttributeError):
        return None
    return len(weight) if isinstance(weight, torch.Tensor) and weight.ndim == 2 else None


def _stretched(row: Feature, length: int, token: int) -> Feature:
    """Return `row` with `token` put into its middle until it has `length` tokens; its special tokens stay."""
    size = len(row["input_ids"])
    middle, missing = size // 2, length - size
    if missing <= 0:
        return row
    tokens = {name: values for name, values in row.items() if len(values) == size}
    fill: Mapping[str, int] = {name: values[middle] for name, values in tokens.items()} | {"input_ids": token}
    longer = {name: [*values[:middle], *[fill[name]] * missing, *values[middle:]] for name, values in tokens.items()}
    return {**row, **longer}


def _logits(
    task: Task, module: torch.nn.Module, rows: Sequence[Feature], pad_token_id: int, pad_to: int | None = None
) -> torch.Tensor:
    logits: torch.Tensor = module(**task.collate(rows, pad_token_id, pad_to))
    return logits.float()


def _first_states(module: torch.nn.Module, row: Feature, spec: ModelSpec) -> bool:
    """Whether the first token's state is blind to all others, where the head pools that token."""
    encoder = getattr(module, "encoder", None)
    ids = row["input_ids"]
    if spec.architecture != "own" or spec.head.get("pooling", "cls") != "cls" or encoder is None or len(ids) < 2:
        return False
    rows = torch.tensor([ids, [ids[0], *[ids[0]] * (len(ids) - 1)]])
    states = encoder(input_ids=rows, attention_mask=torch.ones_like(rows)).last_hidden_state[:, 0]
    return bool(torch.allclose(states[0], states[1], atol=1e-7))
