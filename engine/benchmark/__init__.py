"""How fast: ours against the authors' order of work, in one run (``python -m engine bench``)."""
