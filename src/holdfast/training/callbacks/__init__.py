"""Savers behind the hooks of training frameworks, one module each; none is imported before its framework is used.

| framework | one line |
|---|---|
| transformers | `Trainer(..., callbacks=[HoldfastCallback("VAULT", asset="llm")])` |
| Lightning | `Trainer(plugins=[HoldfastCheckpointIO("VAULT", asset="llm")])` |
| accelerate | `attach(accelerator, "VAULT", asset="llm")` |
| Keras | `model.fit(..., callbacks=[HoldfastCallback("VAULT", asset="llm")])` |
| Orbax | `CheckpointManager(directory, item_handlers=HoldfastHandler("VAULT", asset="llm"))` |
| torchft | `attach(manager, "VAULT", asset="llm")` |

All of them save in the background and never stop training: what goes wrong is told once a kind, and counted
(`reporting.py`). See docs/frameworks.md.
"""
