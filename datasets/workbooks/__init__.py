"""Workbooks: Excel's, and OpenDocument's."""
