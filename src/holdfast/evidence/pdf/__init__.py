"""The evidence of a run as a PDF, by ReportLab (extra `evidence`). Equal records give equal bytes with equal fonts."""
