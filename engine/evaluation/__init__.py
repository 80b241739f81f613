"""How good: edits of held-out pictures, measured (``python -m engine evaluate``)."""
