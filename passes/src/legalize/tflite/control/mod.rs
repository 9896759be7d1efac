//! Control flow, matrix products, attention, recurrent operators.
