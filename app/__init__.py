"""The window: Gradio only, no torch. The work is done by ``engine``."""
