"""The pipeline, one file per verb. A night: ingest · build_features · validate · score. A retraining: train · compare."""
