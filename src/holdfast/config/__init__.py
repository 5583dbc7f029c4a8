"""`holdfast.yaml`: what is declared about sites, classes, assets and groups. Read and checked here, acted on elsewhere.

Pure but for reading the file (and, where a secret is used, what its reference names).
"""
