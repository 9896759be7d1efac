//! What calling a known name gives.

use std::sync::Arc;

use super::machine::Machine;
use super::names::{Known, classify};
use super::{Dict, GlobalName, ObjId, Object, PickleError, StorageRef, TensorRef};
use crate::pytorch::tensor::{TorchDtype, View};

impl Machine<'_> {
    /// The result of calling `callee` with `args`; `None` when the name is not on the list.
    pub(super) fn call(&mut self, callee: &GlobalName, args: &[ObjId]) -> Result<Option<ObjId>, PickleError> {
        let Some(known) = classify(callee) else { return Ok(None) };
        let object = match known {
            Known::RebuildTensor => self.rebuild_tensor(args, None)?,
            Known::RebuildTensorTyped => {
                let Some(Object::Dtype(dtype)) = self.arg(args, 6) else {
                    return Err(self.bad("_rebuild_tensor_v3 without a dtype"));
                };
                self.rebuild_tensor(args, Some(*dtype))?
            }
            Known::RebuildParameter | Known::TypeTag | Known::Layout => {
                return self.first(callee, args).map(Some);
            }
            Known::RebuildFromType => return self.rebuild_from_type(args),
            Known::Device => self.device(args)?,
            Known::Tuple => Object::Tuple(self.elements(args)?),
            Known::List => Object::List(self.elements(args)?),
            Known::Set => Object::Set(self.elements(args)?),
            Known::Dict => Object::Dict(Box::new(self.dict_of(args)?)),
            Known::DefaultDict => Object::Dict(Box::default()),
            Known::Inert => return Ok(None),
            Known::Complex => self.complex(args)?,
            Known::ByteArray => self.byte_array(args)?,
            Known::Encode => self.encode(args)?,
            Known::TensorClass | Known::Storage(_) | Known::Dtype(_) => {
                return Err(self.bad(format!("{callee} is called, which makes no value")));
            }
        };
        self.add(object).map(Some)
    }

    /// The storage that the persistent id `('storage', class, key, location, numel, ...)` names.
    pub(super) fn persistent(&mut self, id: ObjId) -> Result<ObjId, PickleError> {
        let Object::Tuple(parts) = self.get(id) else {
            return Err(self.bad("a persistent id is not a tuple"));
        };
        let part = |index| self.arg(parts, index);
        if let (Some(Object::Str(kind)), Some(Object::Global(_))) = (part(0), part(1))
            && &**kind == "module"
        {
            // ('module', class, source file, source): the older layout's way to name the class of a module.
            return Ok(parts[1]);
        }
        let [
            Some(Object::Str(kind)),
            Some(class),
            Some(Object::Str(key)),
            Some(Object::Str(location)),
            Some(Object::Int(numel)),
        ] = [part(0), part(1), part(2), part(3), part(4)]
        else {
            return Err(self.bad("a persistent id is not ('storage', class, key, location, count)"));
        };
        if &**kind != "storage" {
            return Err(self.bad(format!("a persistent id is of kind {kind:?}, not 'storage'")));
        }
        if part(5).is_some_and(|view| view != &Object::None) {
            return Err(self.bad(
                "a storage is a view on another one, as PyTorch before 0.4 wrote it; save the file again",
            ));
        }
        let Object::Global(class) = class else {
            return Err(self.bad("a persistent id names no storage class"));
        };
        let Some(Known::Storage(dtype)) = classify(class) else {
            return Err(self.bad(format!("{class} is no known storage class")));
        };
        let numel = u64::try_from(*numel).map_err(|_| self.bad("a storage has a negative count"))?;
        let storage = StorageRef { dtype, key: key.clone(), location: location.clone(), numel };
        self.add(Object::Storage(Arc::new(storage)))
    }

    fn rebuild_tensor(&self, args: &[ObjId], dtype: Option<TorchDtype>) -> Result<Object, PickleError> {
        let (Some(Object::Storage(storage)), Some(Object::Int(offset)), Some(sizes), Some(strides)) =
            (self.arg(args, 0), self.arg(args, 1), self.arg(args, 2), self.arg(args, 3))
        else {
            return Err(self.bad("a tensor is not made of (storage, offset, sizes, strides)"));
        };
        let metadata = self.arg(args, if dtype.is_some() { 7 } else { 6 });
        self.refuse_lazy_bits(metadata)?;
        let (sizes, strides) = (self.ints(sizes)?, self.ints(strides)?);
        let fail = |source| PickleError::Tensor { at: self.position(), source };
        let view = View::new(dtype.unwrap_or(storage.dtype), &sizes, &strides, *offset).map_err(fail)?;
        Ok(Object::Tensor(Box::new(TensorRef { storage: storage.clone(), view })))
    }

    /// Tensors may carry `{'conj': True}` or `{'neg': True}`: their stored bytes are not their values.
    fn refuse_lazy_bits(&self, metadata: Option<&Object>) -> Result<(), PickleError> {
        let Some(Object::Dict(dict)) = metadata else { return Ok(()) };
        match dict.items.iter().find(|(_, value)| self.get(*value) != &Object::Bool(false)) {
            Some((key, _)) => {
                let key = if let Object::Str(key) = self.get(*key) { key } else { "?" };
                Err(PickleError::Shape(format!(
                    "a tensor is stored with its `{key}` not yet applied; call tensor.resolve_{key}() before saving"
                )))
            }
            None => Ok(()),
        }
    }

    fn rebuild_from_type(&mut self, args: &[ObjId]) -> Result<Option<ObjId>, PickleError> {
        let (Some(Object::Global(function)), Some(Object::Global(class)), Some(Object::Tuple(inner))) =
            (self.arg(args, 0), self.arg(args, 1), self.arg(args, 2))
        else {
            return Err(self.bad("_rebuild_from_type_v2 without (function, class, arguments)"));
        };
        let allowed = matches!(
            classify(function),
            Some(Known::RebuildTensor | Known::RebuildTensorTyped | Known::RebuildParameter)
        );
        if !allowed || classify(class) != Some(Known::TensorClass) {
            return Ok(None);
        }
        let (function, inner) = (function.clone(), inner.clone());
        self.charge(inner.len())?;
        self.call(&function, &inner)
    }

    fn device(&self, args: &[ObjId]) -> Result<Object, PickleError> {
        match (self.arg(args, 0), self.arg(args, 1)) {
            (Some(Object::Str(kind)), None) => Ok(Object::Device(kind.clone())),
            (Some(Object::Str(kind)), Some(Object::Int(index))) => {
                Ok(Object::Device(format!("{kind}:{index}").into()))
            }
            _ => Err(self.bad("torch.device without a device type")),
        }
    }

    fn complex(&self, args: &[ObjId]) -> Result<Object, PickleError> {
        match (self.arg(args, 0), self.arg(args, 1)) {
            (Some(Object::Float(re)), Some(Object::Float(im))) => Ok(Object::Complex(*re, *im)),
            _ => Err(self.bad("complex() without two floats")),
        }
    }

    fn byte_array(&mut self, args: &[ObjId]) -> Result<Object, PickleError> {
        let bytes = match self.arg(args, 0) {
            None => Box::default(),
            Some(Object::Bytes(bytes)) => bytes.clone(),
            Some(_) => return Err(self.bad("bytearray() of something that is not bytes")),
        };
        self.charge(bytes.len())?;
        Ok(Object::Bytes(bytes))
    }

    fn encode(&mut self, args: &[ObjId]) -> Result<Object, PickleError> {
        let (Some(Object::Str(text)), Some(Object::Str(codec))) = (self.arg(args, 0), self.arg(args, 1))
        else {
            return Err(self.bad("_codecs.encode without a text and a codec"));
        };
        if !matches!(&**codec, "latin1" | "latin-1") {
            return Err(self.bad(format!("_codecs.encode with the codec {codec:?}, not latin1")));
        }
        let bytes: Option<Box<[u8]>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
        let bytes = bytes.ok_or_else(|| self.bad("a text that latin1 cannot encode"))?;
        self.charge(bytes.len())?;
        Ok(Object::Bytes(bytes))
    }

    /// Elements of the one list, tuple or set in `args`; none when `args` is empty.
    fn elements(&mut self, args: &[ObjId]) -> Result<Vec<ObjId>, PickleError> {
        let items = match (args.len(), self.arg(args, 0)) {
            (0, _) => Vec::new(),
            (1, Some(Object::List(items) | Object::Tuple(items) | Object::Set(items))) => items.clone(),
            _ => return Err(self.bad("a container is made of something that is no list")),
        };
        self.charge(items.len())?;
        Ok(items)
    }

    fn dict_of(&mut self, args: &[ObjId]) -> Result<Dict, PickleError> {
        if let (1, Some(Object::Dict(dict))) = (args.len(), self.arg(args, 0)) {
            let items = dict.items.clone();
            self.charge(2 * items.len())?;
            return Ok(Dict { items, attributes: None });
        }
        let mut items = Vec::new();
        for pair in self.elements(args)? {
            match self.get(pair) {
                Object::List(pair) | Object::Tuple(pair) => match pair[..] {
                    [key, value] => items.push((key, value)),
                    _ => return Err(self.bad("a dict item is not a pair")),
                },
                _ => return Err(self.bad("a dict item is not a pair")),
            }
        }
        Ok(Dict { items, attributes: None })
    }

    fn first(&self, callee: &GlobalName, args: &[ObjId]) -> Result<ObjId, PickleError> {
        args.first().copied().ok_or_else(|| self.bad(format!("{callee} is called without arguments")))
    }

    fn arg(&self, args: &[ObjId], index: usize) -> Option<&Object> {
        args.get(index).map(|&id| self.get(id))
    }

    fn ints(&self, object: &Object) -> Result<Vec<i64>, PickleError> {
        let (Object::Tuple(items) | Object::List(items)) = object else {
            return Err(self.bad(format!("a tensor's sizes or strides are {}, not a tuple", object.kind())));
        };
        if items.len() > super::MAX_RANK {
            return Err(self.bad(format!("a tensor of {} dimensions", items.len())));
        }
        let int = |&id| match self.get(id) {
            Object::Int(value) => Ok(*value),
            other => Err(self.bad(format!("a tensor's size or stride is {}", other.kind()))),
        };
        items.iter().map(int).collect()
    }
}
