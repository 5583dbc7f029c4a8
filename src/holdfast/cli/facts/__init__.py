"""From what vault and control return to the outputs of `schemas`: the one source of both JSON and text."""
