"""Type aliases of the arrays that models compute with; shapes are documented where used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Times = NDArray[np.datetime64]
Indices = NDArray[np.intp]
