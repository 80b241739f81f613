"""Many edits: a batch of them, in one process or spread over a cluster."""
