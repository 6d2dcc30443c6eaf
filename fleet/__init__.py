"""Score and train a whole fleet on Apache Spark: ``score``, ``fit``, ``backtest``."""
