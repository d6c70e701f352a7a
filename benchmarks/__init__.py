"""Workloads, each beside a peer or the bare engine, as ratios within one run."""
