"""The data that is measured on, made by a real training run: `python -m benchmarks.workload DIR --plan quick`.

::

    <dir>/workload.json                what it is; written last, so that half a workload is not taken for one
    <dir>/fp32/{first,next}/N/         five full states (weights and both moments) as float32, and each 10 steps later
    <dir>/bf16/{first,next}/N/         many states of bfloat16 weights, and each 10 steps later
    <dir>/steps/{fp32,bf16}/+K/        one state, and the same run 1, 10 and 100 steps later
    <dir>/lora/{first,next}/           a frozen base with adapters and their moments, 100 steps apart
    <dir>/dataset/{first,next}/        many small files and some large shards, before and after a change of 2 %
    <dir>/variants/{first,next}/       fine-tunes, merged, averaged and quantised copies of one base

The modules here need NumPy only (and PyTorch where it is found, which makes the full plan practical), so that they run
in the peers' environment, too.
"""
