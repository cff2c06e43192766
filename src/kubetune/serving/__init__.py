"""From a packaged model to answers over HTTP. The predictor knows no server; a second server is one more file."""
