"""The pipeline, one file per verb.

A night: ingest · build_features · validate_features · score. A retraining: build_panel · train · compare · promote.
"""
