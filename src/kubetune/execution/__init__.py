"""One call of a stage, anywhere: adopt a result that exists, or execute the body and commit what it wrote."""
