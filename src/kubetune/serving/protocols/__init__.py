"""How an endpoint is asked and answers: one file a protocol, from bytes to our own request and back."""
