"""What the notebooks show: one module a notebook, each a few panels and static pictures of its example."""
