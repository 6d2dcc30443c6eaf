"""History and training of a whole fleet on Apache Spark: ``score``, ``fit``, ``backtest``."""
