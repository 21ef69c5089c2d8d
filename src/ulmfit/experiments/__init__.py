"""The paper's experiments: runs, ablations, baselines, tables and figures."""
