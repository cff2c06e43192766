"""Requests as TorchServe gives them to the handler, and its replies."""

import json
from pathlib import Path

from ts.context import Context, RequestProcessor

from kubetune.serving.torchserve.config import manifest
from kubetune.serving.torchserve.handler import TextHandler


def context_for(folder: Path, requests: list[tuple[bytes, str]]) -> Context:
    context = Context("toy", str(folder), manifest("toy"), 32, None, "0.12.0")
    context.request_processor = [RequestProcessor({"body": {"content-type": kind}}) for _, kind in requests]
    return context


def send(handler: TextHandler, folder: Path, requests: list[tuple[bytes, str]]) -> list[tuple[int, str, dict, dict]]:
    context = context_for(folder, requests)
    replies = handler.handle([{"body": bytearray(body)} for body, _ in requests], context)
    assert len(replies) == len(requests)
    return [
        (*context.get_response_status(index), context.get_response_headers(index), json.loads(reply))
        for index, reply in enumerate(replies)
    ]
