"""What is measured: each case returns plain data for the results file, raw figures and no verdicts."""
