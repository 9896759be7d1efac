//! The names that are known: those PyTorch's own writers use for tensors and plain containers.

use super::GlobalName;
use crate::pytorch::tensor::TorchDtype;

/// What a known name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// `_rebuild_tensor` and `_rebuild_tensor_v2`: storage, offset, sizes, strides, ...
    RebuildTensor,
    /// `_rebuild_tensor_v3`: as before, with the dtype of an untyped storage.
    RebuildTensorTyped,
    /// `_rebuild_parameter*`: a tensor, whether it needs a gradient, ...
    RebuildParameter,
    /// `_rebuild_from_type_v2`: function, class, arguments, state.
    RebuildFromType,
    /// The tensor classes that `_rebuild_from_type_v2` may name.
    TensorClass,
    Storage(TorchDtype),
    Dtype(TorchDtype),
    Device,
    /// Makes a tuple of an iterable: `tuple`, `torch.Size`.
    Tuple,
    /// Makes a list of an iterable: `list` and the `build_*list` functions of `TorchScript`.
    List,
    Set,
    Dict,
    Complex,
    ByteArray,
    /// `_codecs.encode(text, 'latin1')`: how protocol 2 writes bytes.
    Encode,
    /// `torch.jit._pickle.restore_type_tag`: the value and the text of its type.
    TypeTag,
    /// `torch.serialization._get_layout`: the layout's name.
    Layout,
    /// `collections.defaultdict`: its factory is left out.
    DefaultDict,
    /// A name whose calls stay as they are written, as plain data: tensors that are no view on one storage, and
    /// what `NumPy` writes for its numbers and arrays.
    Inert,
}

/// Functions of `torch._utils` that make tensors of several storages, or of none.
const UNVIEWED: &[&str] = &[
    "_rebuild_qtensor",
    "_rebuild_sparse_tensor",
    "_rebuild_sparse_csr_tensor",
    "_rebuild_nested_tensor",
    "_rebuild_meta_tensor_no_storage",
    "_rebuild_device_tensor_from_numpy",
    "_rebuild_device_tensor_from_cpu_tensor",
    "_rebuild_wrapper_subclass",
];

/// Quantization schemes of `torch`, which are named and never called.
const SCHEMES: &[&str] = &[
    "per_tensor_affine",
    "per_tensor_symmetric",
    "per_channel_affine",
    "per_channel_symmetric",
    "per_channel_affine_float_qparams",
];

/// Classifies a name; `None` for every name outside the list.
pub(super) fn classify(global: &GlobalName) -> Option<Known> {
    let name = &*global.name;
    match &*global.module {
        "torch" | "torch.cuda" | "torch.storage" => torch_name(&global.module, name),
        "torch._utils" => match name {
            "_rebuild_tensor" | "_rebuild_tensor_v2" => Some(Known::RebuildTensor),
            "_rebuild_tensor_v3" => Some(Known::RebuildTensorTyped),
            "_rebuild_parameter" | "_rebuild_parameter_with_state" => Some(Known::RebuildParameter),
            _ => UNVIEWED.contains(&name).then_some(Known::Inert),
        },
        "torch._tensor" if name == "_rebuild_from_type_v2" => Some(Known::RebuildFromType),
        "torch.nn.parameter" if matches!(name, "Parameter" | "Buffer") => Some(Known::TensorClass),
        "torch.serialization" if name == "_get_layout" => Some(Known::Layout),
        "torch.jit._pickle" => match name {
            "build_intlist" | "build_tensorlist" | "build_doublelist" | "build_boollist" => Some(Known::List),
            "restore_type_tag" => Some(Known::TypeTag),
            _ => None,
        },
        "collections" => match name {
            "OrderedDict" | "Counter" => Some(Known::Dict),
            "defaultdict" => Some(Known::DefaultDict),
            _ => None,
        },
        "numpy" if matches!(name, "dtype" | "ndarray") => Some(Known::Inert),
        "numpy.core.multiarray" | "numpy._core.multiarray" if matches!(name, "scalar" | "_reconstruct") => {
            Some(Known::Inert)
        }
        "torch.torch_version" if name == "TorchVersion" => Some(Known::Inert),
        "_codecs" if name == "encode" => Some(Known::Encode),
        "builtins" | "__builtin__" => builtin_name(name),
        _ => None,
    }
}

fn torch_name(module: &str, name: &str) -> Option<Known> {
    if let Some(dtype) = TorchDtype::from_storage_class(name) {
        return Some(Known::Storage(dtype));
    }
    match (module, name) {
        ("torch", "Size") => Some(Known::Tuple),
        ("torch", "device") => Some(Known::Device),
        ("torch", "Tensor") => Some(Known::TensorClass),
        ("torch", _) if SCHEMES.contains(&name) => Some(Known::Inert),
        ("torch", _) => TorchDtype::from_name(name).map(Known::Dtype),
        _ => None,
    }
}

fn builtin_name(name: &str) -> Option<Known> {
    match name {
        "set" | "frozenset" => Some(Known::Set),
        "list" => Some(Known::List),
        "tuple" => Some(Known::Tuple),
        "dict" => Some(Known::Dict),
        "complex" => Some(Known::Complex),
        "bytearray" | "bytes" => Some(Known::ByteArray),
        _ => None,
    }
}
