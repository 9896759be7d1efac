//! Constants that PyTorch 2.1 wrote into the JSON itself: files of `torch.save` as base64 texts.

use bytes::Bytes;

use super::{Payload, Pt2Error, fail};
use crate::pytorch::checkpoint::{Checkpoint, root_tensor};
use crate::pytorch::schema::{
    Argument, Device, ExportedProgram, InputSpec, Named, ScalarType, SymInt, TensorMeta,
};
use crate::pytorch::tensor::View;

/// Takes the constants out of the program, makes inputs of them, and returns where they are.
pub(super) fn constants(
    program: &mut ExportedProgram,
    held: &mut Vec<Checkpoint>,
) -> Result<Vec<Payload>, Pt2Error> {
    let table = std::mem::take(&mut program.inline_constants);
    let mut payloads = Vec::new();
    for (name, text) in table.iter() {
        let bytes = decode(text).ok_or_else(|| fail(name, "its text is no base64"))?;
        let pickled = |source| Pt2Error::Pickled { entry: name.to_owned(), source: Box::new(source) };
        let checkpoint = Checkpoint::open(bytes).map_err(pickled)?;
        checkpoint.pickle().require_known().map_err(|error| pickled(error.into()))?;
        let tensor = root_tensor(checkpoint.pickle()).ok_or_else(|| fail(name, "it is no tensor"))?;
        let module = &mut program.graph_module;
        let arg = Named { name: name.to_owned() };
        let meta = meta(&tensor.view)
            .ok_or_else(|| fail(name, format!("elements of type {} are not read", tensor.view.dtype)))?;
        module.graph.tensor_values.items.insert(name.to_owned(), meta);
        module.graph.inputs.push(Argument::Tensor(arg.clone()));
        module
            .signature
            .input_specs
            .push(InputSpec::TensorConstant { arg, tensor_constant_name: name.to_owned() });
        payloads.push(Payload {
            name: name.to_owned(),
            entry: format!("inline constant {name}"),
            is_param: false,
            pickled: false,
            view: Some(tensor.view.clone()),
            held: Some((held.len(), tensor.storage.clone())),
        });
        held.push(checkpoint);
    }
    Ok(payloads)
}

/// The type of a tensor as the schema writes it.
fn meta(view: &View) -> Option<TensorMeta> {
    let ints = |list: &[u64]| {
        list.iter().map(|&n| i64::try_from(n).ok().map(SymInt::Int)).collect::<Option<Vec<_>>>()
    };
    Some(TensorMeta {
        dtype: ScalarType(view.dtype.code()?),
        sizes: ints(&view.sizes)?,
        requires_grad: false,
        device: Device { kind: "cpu".to_owned(), index: None },
        strides: ints(&view.strides)?,
        storage_offset: SymInt::Int(i64::try_from(view.offset).ok()?),
        layout: super::STRIDED,
    })
}

/// Decodes base64 (RFC 4648, section 4).
fn decode(text: &str) -> Option<Bytes> {
    let digits = text.trim_end_matches('=').as_bytes();
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 3);
    for chunk in digits.chunks(4) {
        let mut word = 0_u32;
        for &digit in chunk {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            word = word << 6 | u32::from(value);
        }
        let bits = 6 * chunk.len();
        if bits < 8 {
            return None;
        }
        let bytes = (word << (32 - bits)).to_be_bytes();
        out.extend_from_slice(&bytes[..bits / 8]);
    }
    Some(out.into())
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn base64() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYmE=", "fooba"),
            ("+/+/", "\u{fb}"),
        ] {
            let got = decode(text).unwrap();
            if text.starts_with('+') {
                assert_eq!(got.as_ref(), [0xfb, 0xff, 0xbf]);
            } else {
                assert_eq!(got.as_ref(), bytes.as_bytes());
            }
        }
        assert_eq!(decode("Z"), None);
        assert_eq!(decode("Zm9v\nZm9v"), None);
    }
}
