"""Work that outlives its process: kinds of work, on DBOS, behind `control/workflows.py`."""
