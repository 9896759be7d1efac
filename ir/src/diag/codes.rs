//! The stable diagnostic codes and their explanations.

/// A diagnostic code with what `hoist explain` prints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CodeInfo {
    /// Such as `E0301`.
    pub code: &'static str,
    /// A few words.
    pub title: &'static str,
    /// What it means and what to do.
    pub text: &'static str,
}

const fn code(code: &'static str, title: &'static str, text: &'static str) -> CodeInfo {
    CodeInfo { code, title, text }
}

/// Every code, sorted. `E01` files, `E02` contents of a file, `E03` operators, `E04` the graph, `E05` passes,
/// `E06` checking results, `E07` writing, `E09` defects of Hoist.
pub const CODES: &[CodeInfo] = &[
    code(
        "E0101",
        "file cannot be read",
        "The input path does not exist, is no regular file, or may not be read. Check the path and its permissions.",
    ),
    code(
        "E0102",
        "file cannot be written",
        "The output could not be created or completed (missing folder, full disk, permissions). Nothing was left behind; an existing file is unchanged.",
    ),
    code(
        "E0103",
        "format not recognized",
        "Neither the extension nor the first bytes tell the format. Name it with --from or --to.",
    ),
    code(
        "E0104",
        "format not supported",
        "Hoist knows the format and cannot read or write it (yet). `hoist ops` lists what each format covers.",
    ),
    code(
        "E0105",
        "external data refused",
        "A model points at a file outside its own folder, at a device, or at a range that the file does not have. External data must lie in or below the model's folder.",
    ),
    code(
        "E0201",
        "malformed file",
        "The bytes are no valid file of this format: truncated, damaged, or of another kind.",
    ),
    code(
        "E0202",
        "malformed model",
        "The file decodes, and the model in it breaks a rule of its format, such as a value used but never defined.",
    ),
    code("E0203", "malformed tensor", "A tensor's element type, shape and data do not fit each other."),
    code(
        "E0204",
        "unsupported version",
        "The file was written with a version of the format that is unknown. Re-export it with a supported version.",
    ),
    code(
        "E0205",
        "too deep or too large",
        "Nesting or size exceeds what any real model needs, as damaged or hostile files do.",
    ),
    code(
        "E0206",
        "weights without a program",
        "The file holds named tensors and not the program that computes with them. Name the program with --arch: a model file of the same model, or an architecture that Hoist knows. The tensors must fit it by name, sizes and element type; all that do not are listed.",
    ),
    code(
        "E0301",
        "operator not supported",
        "No translation of this operator exists. All such operators are listed at once with their counts.",
    ),
    code(
        "E0302",
        "operator not expressible",
        "The target format or opset has no exact equivalent. Choose a newer opset or another target.",
    ),
    code(
        "E0303",
        "wrong operands",
        "An operator got a number of inputs or outputs, or an element type, that its schema does not allow.",
    ),
    code("E0304", "bad attribute", "An attribute has the wrong type or a value out of range."),
    code("E0305", "shapes do not fit", "The operator's inputs have shapes that cannot be combined."),
    code("E0306", "cannot evaluate", "The reference executor cannot compute this operator on these inputs."),
    code(
        "E0307",
        "result would be too large",
        "Computing this operator would take more memory than allowed.",
    ),
    code(
        "E0401",
        "graph invariant broken",
        "The verifier found a use, definition or order that no valid graph has. If a pass caused it, that is a defect of Hoist: please report it with the repro file.",
    ),
    code(
        "E0402",
        "type mismatch",
        "A value's recorded type contradicts what its operator computes, or what the file declares.",
    ),
    code(
        "E0403",
        "edit refused",
        "A rewrite would have left a use before its definition or a value without one.",
    ),
    code("E0404", "text does not parse", "The .hir text has a syntax error at the line shown."),
    code(
        "E0405",
        "constant without data",
        "The text names a constant by hash only, as dumps do. Write it with full data to run or convert it.",
    ),
    code(
        "E0501",
        "unknown pass",
        "The pipeline names a pass that does not exist. `hoist optimize --list-passes` lists them.",
    ),
    code(
        "E0502",
        "pass did not converge",
        "A fixpoint group still changed the graph after its last round. The result is valid; the passes undo each other.",
    ),
    code(
        "E0503",
        "pass lied about changing the graph",
        "A pass reported a change it did not make or the reverse. This is a defect of Hoist.",
    ),
    code(
        "E0504",
        "interface changed",
        "A pass changed the model's inputs or outputs. This is a defect of Hoist.",
    ),
    code(
        "E0601",
        "outputs differ",
        "The converted model does not compute what the source computes within the tolerance. No output was written.",
    ),
    code("E0602", "could not be checked", "The results were not compared, for the reason given."),
    code(
        "E0603",
        "inputs do not fit",
        "The given arrays do not match the model's inputs in number, name, element type or shape.",
    ),
    code("E0604", "engine not available", "The chosen executor cannot be loaded on this machine."),
    code(
        "E0605",
        "size is part of the model",
        "A dimension cannot be made dynamic, because nodes restate its size in a way that has no meaning at other sizes. All of them are listed. Export the model with that dimension dynamic, or cut the model before them with --outputs.",
    ),
    code(
        "E0606",
        "no such part of the model",
        "--inputs and --outputs name values that do not exist, or outputs that depend on an input of the model that is not listed. `hoist convert model.onnx -o model.hir --no-optimize` shows the names of all values.",
    ),
    code(
        "E0607",
        "quantization would not pay",
        "The quantized file would take more bytes than the model in floats, so nothing was quantized. --full-integer quantizes it all the same.",
    ),
    code(
        "E0701",
        "not legal for the target",
        "The graph still holds something the target format cannot hold; the legalize pass should have rewritten it.",
    ),
    code(
        "E0901",
        "defect in Hoist",
        "An internal rule was broken. Please report it with the command line and, if possible, the model.",
    ),
];

/// The entry of `code`, case-insensitive.
pub fn explain(code: &str) -> Option<&'static CodeInfo> {
    CODES.iter().find(|c| c.code.eq_ignore_ascii_case(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_unique() {
        assert!(CODES.windows(2).all(|w| w[0].code < w[1].code));
        assert!(explain("e0301").is_some() && explain("E9999").is_none());
    }
}
