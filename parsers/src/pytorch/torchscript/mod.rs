//! `TorchScript` archives (`torch.jit.save`): a program as source text in a subset of Python, and its attributes as a pickle.

mod ast;
mod lex;
mod parse;
mod parse_file;
