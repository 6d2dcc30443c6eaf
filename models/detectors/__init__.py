"""One detector per file, behind one contract."""
