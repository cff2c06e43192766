"""The baseline of `serving.py`: a TorchServe handler written the usual way.

Each text is padded to the maximal length, requests are computed as they come, PyTorch chooses its threads.
"""

from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

MAX_LENGTH = 150


class PaddedHandler:
    """Loads a folder of `save_pretrained` and answers each text with its label."""

    def initialize(self, context: Any) -> None:
        """Load tokenizer and model."""
        folder = context.system_properties["model_dir"] + "/model"
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForSequenceClassification.from_pretrained(folder).eval()

    def preprocess(self, requests: list[dict[str, Any]]) -> Any:
        """Return padded input ids and masks, both (requests, 150)."""
        texts = []
        for request in requests:
            text = request.get("data") or request.get("body")
            texts.append(text.decode("utf-8") if isinstance(text, bytes | bytearray) else text)
        return self.tokenizer(texts, max_length=MAX_LENGTH, padding="max_length", truncation=True, return_tensors="pt")

    def inference(self, inputs: Any) -> list[int]:
        """Return class numbers."""
        with torch.no_grad():
            return self.model(**inputs).logits.argmax(dim=1).tolist()

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[str]:
        """Answer a batch of requests."""
        return [self.model.config.id2label[number] for number in self.inference(self.preprocess(data))]
