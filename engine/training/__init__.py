"""Training of the bundled model, or of one's own: data, VQVAE trainer, VAR trainer.

Nothing here is needed to edit a picture; no other part of `engine` imports it except the
command line, and that lazily.
"""
