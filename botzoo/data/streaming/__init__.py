"""Data sets in shards, tar or parquet files that are read from front to back: found, counted, and streamed to batches.

Shards lie in a folder, behind a pattern such as ``train-{0000..1023}.tar``, or on the Hub. Nothing of them is written
to disk: members of a tar file are read where they are, whatever their names. Each shard's images are counted before the
first step, so that every process knows which ones are its own.
"""
