"""From raw results to verdicts, tables, plots and the page: `python -m benchmarks.report RESULTS`.

Needs nothing but the standard library, and Matplotlib for the plots.
"""
