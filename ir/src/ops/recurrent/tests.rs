//! Behaviour that all recurrent operators share.
