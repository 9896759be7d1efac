//! Tagged unions whose kinds are all known: an unknown kind is an error of the JSON reader.

use serde::Deserialize;

use super::SymExpr;
use super::argument::{Argument, ConstantValue, CustomObj, Float, Named};

/// Value at export of a symbolic expression.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SymHint {
    /// An integer.
    AsInt(i64),
    /// A truth value.
    AsBool(bool),
    /// A float.
    AsFloat(Float),
}

/// An integer that may be symbolic.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub enum SymInt {
    /// An expression over symbols.
    #[serde(rename = "as_expr")]
    Expr(SymExpr),
    /// A known number.
    #[serde(rename = "as_int")]
    Int(i64),
}

/// A float that may be symbolic.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub enum SymFloat {
    /// An expression over symbols.
    #[serde(rename = "as_expr")]
    Expr(SymExpr),
    /// A known number.
    #[serde(rename = "as_float")]
    Float(Float),
}

/// A truth value that may be symbolic.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub enum SymBool {
    /// An expression over symbols.
    #[serde(rename = "as_expr")]
    Expr(SymExpr),
    /// A known value.
    #[serde(rename = "as_bool")]
    Bool(bool),
}

/// Meaning of one input of the graph.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputSpec {
    /// An argument of the model.
    UserInput {
        /// The input.
        arg: Argument,
    },
    /// A parameter.
    Parameter {
        /// The input.
        arg: Named,
        /// Its name in the weights.
        parameter_name: String,
    },
    /// A buffer.
    Buffer {
        /// The input.
        arg: Named,
        /// Its name in the weights (persistent) or the constants.
        buffer_name: String,
        /// Whether it is part of the state dict.
        persistent: bool,
    },
    /// A tensor lifted out of the code.
    TensorConstant {
        /// The input.
        arg: Named,
        /// Its name in the constants.
        tensor_constant_name: String,
    },
    /// A script object.
    CustomObj {
        /// The input.
        arg: CustomObj,
        /// Its name in the constants.
        custom_obj_name: String,
    },
    /// An effect token.
    Token {
        /// The input.
        arg: Named,
    },
    /// An argument of the model that was constant at export.
    ConstantInput {
        /// Name of the argument.
        name: String,
        /// Its value.
        value: ConstantValue,
    },
}

/// Meaning of one output of the graph.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputSpec {
    /// A result of the model.
    UserOutput {
        /// The output.
        arg: Argument,
    },
    /// A loss.
    LossOutput {
        /// The output.
        arg: Named,
    },
    /// The new value of a buffer.
    BufferMutation {
        /// The output.
        arg: Named,
        /// The buffer.
        buffer_name: String,
    },
    /// The new value of a parameter.
    ParameterMutation {
        /// The output.
        arg: Named,
        /// The parameter.
        parameter_name: String,
    },
    /// The gradient of a parameter.
    GradientToParameter {
        /// The output.
        arg: Named,
        /// The parameter.
        parameter_name: String,
    },
    /// The gradient of an argument.
    GradientToUserInput {
        /// The output.
        arg: Named,
        /// The argument.
        user_input_name: String,
    },
    /// The new value of an argument.
    UserInputMutation {
        /// The output.
        arg: Named,
        /// The argument.
        user_input_name: String,
    },
    /// An effect token.
    Token {
        /// The output.
        arg: Named,
    },
}
