"""The handler file inside a `.mar`: TorchServe wants a file there with one class of its own in it."""

from kubetune.serving.torchserve.handler import TextHandler


class ArchiveHandler(TextHandler):
    """`TextHandler`, from the kubetune that is installed beside the server."""
