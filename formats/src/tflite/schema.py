#!/usr/bin/env python3
"""Writes schema.rs: the tables, enumerations and builtin operators of TFLite's flatbuffer schema.

Usage: python3 schema.py > schema.rs, with ai-edge-litert installed. What is taken from its Python bindings are facts: names, slots,
types and default values.
"""
import importlib.util
import inspect
import os
import re

spec = importlib.util.find_spec("ai_edge_litert")
folder = os.path.dirname(spec.origin)
path = os.path.join(folder, "schema_py_generated.py")
loaded = importlib.util.spec_from_file_location("schema", path)
S = importlib.util.module_from_spec(loaded)
loaded.loader.exec_module(S)
text = open(path).read()

SCALARS = {
    "Bool": "Bool", "Int8": "I8", "Uint8": "U8", "Int16": "I16", "Uint16": "U16", "Int32": "I32", "Uint32": "U32",
    "Int64": "I64", "Uint64": "U64", "Float32": "F32", "Float64": "F64", "Byte": "U8",
}


def snake(name):
    name = re.sub(r"([a-z]|[0-9](?=[A-Z][a-z]))([A-Z])", r"\1_\2", name)
    return re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name).lower()


def const(name):
    return snake(name).upper()


def camel(name):
    return "".join(part.capitalize() for part in name.split("_"))


def enums():
    for name, cls in inspect.getmembers(S, inspect.isclass):
        if "__slots__" not in cls.__dict__ and not name.endswith("T"):
            members = {k: v for k, v in cls.__dict__.items() if isinstance(v, int)}
            if members:
                yield name, sorted(members.items(), key=lambda p: p[1])


ENUMS = dict(enums())
UNIONS = {n: m for n, m in ENUMS.items() if m and m[0][0] == "NONE" and m[0][1] == 0 and all(hasattr(S, k) for k, _ in m[1:]) and len(m) > 1}


def fields(name):
    found = re.findall(
        rf"^def {name}Add(\w+)\(builder, \w+\):\n    builder\.Prepend(\w+)Slot\((\d+), [^\n]*?, ([^,\n]+)\)$", text, re.M
    )
    cls = getattr(S, name)
    out = []
    for field, kind, slot, default in found:
        body = inspect.getsource(getattr(cls, field))
        out.append((int(slot), field, rust_kind(name, field, kind, body), default))
    known = {f[0] for f in out}
    slots = range(max(known, default=-1) + 1)
    return sorted(out + [(i, "", "Kind::Deprecated", "0") for i in slots if i not in known])


def rust_kind(table, field, kind, body):
    if kind != "UOffsetTRelative":
        return f"Kind::{SCALARS[kind]}"
    if "self._tab.Union(" in body or "Table(bytearray(), 0)" in body:
        union = {"BuiltinOptions": "BuiltinOptions", "BuiltinOptions2": "BuiltinOptions2", "Details": "QuantizationDetails"}.get(field, "SparseIndexVector")
        return f"Kind::Union(&{const(union)})"
    if "self._tab.Vector(" in body:
        element = re.search(r"obj = (\w+)\(\)", body)
        if element:
            return f"Kind::Tables(&{const(element[1])})"
        if "self._tab.String(" in body:
            return "Kind::Strings"
        flag = re.search(r"number_types.(?!UOffsetT)(\w+)Flags, a", body)[1]
        return f"Kind::Vector(Scalar::{SCALARS[flag]})"
    if "self._tab.String(" in body:
        return "Kind::String"
    inner = re.search(r"obj = (\w+)\(\)", body)[1]
    return f"Kind::Table(&{const(inner)})"


OPTIONS = {
    "AVERAGE_POOL_2D": "Pool2D", "MAX_POOL_2D": "Pool2D", "L2_POOL_2D": "Pool2D", "L2_NORMALIZATION": "L2Norm",
    "UNIDIRECTIONAL_SEQUENCE_RNN": "SequenceRNN", "CONV_3D_TRANSPOSE": "Conv3D", "MAXIMUM": "MaximumMinimum", "MINIMUM": "MaximumMinimum",
    "RANDOM_UNIFORM": "Random", "RANDOM_STANDARD_NORMAL": "Random", "MULTINOMIAL": "Random", "ARG_MAX": "ArgMax", "ARG_MIN": "ArgMin",
    **{n: "Reducer" for n in ["MEAN", "SUM", "REDUCE_PROD", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_ANY", "REDUCE_ALL"]},
}


def options_of(builtin):
    members = [k for u in ("BuiltinOptions", "BuiltinOptions2") for k, _ in UNIONS[u][1:]]
    flat = OPTIONS.get(builtin, builtin).replace("_", "").lower() + "options"
    for m in members:
        if m.lower() == flat:
            return m
    return None


def main():
    # `getattr` of classes in source order keeps the file stable.
    tables = [n for n in re.findall(r"^class (\w+)\(object\):\n    __slots__", text, re.M)]
    print("//! TFLite's flatbuffer schema as data: builtin operators, enumerations, and the fields of each table.")
    print("//!\n//! Written by `schema.py` beside this file; do not edit.")
    print("use super::table::{Field, Kind, Scalar, Table, Union};\n")
    print("/// Every builtin operator.\n#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]\n#[expect(missing_docs, reason = \"the names are the schema's\")]")
    print("pub enum Builtin {")
    for name, value in ENUMS["BuiltinOperator"]:
        print(f"    {camel(name)} = {value},")
    print("}\n")
    print("/// Builtin operators in the order of their codes: the operator, its name, and the table of its options.")
    print("pub static BUILTINS: &[(Builtin, &str, Option<&Table>)] = &[")
    for name, _ in ENUMS["BuiltinOperator"]:
        o = options_of(name)
        print(f'    (Builtin::{camel(name)}, "{name}", {f"Some(&{const(o)})" if o else "None"}),')
    print("];\n")
    for name, members in ENUMS.items():
        if name in ("BuiltinOperator",) or name in UNIONS:
            continue
        print(f"/// Names of `{name}` in the order of their numbers; the empty name is no member.")
        top = max(v for _, v in members)
        names = {v: k for k, v in members}
        print(f"pub static {const(name)}: &[&str] = &[" + ", ".join(f'"{names.get(i, "")}"' for i in range(top + 1)) + "];")
    for name, members in UNIONS.items():
        print(f"\n/// Union `{name}`.\npub static {const(name)}: Union = Union {{\n    members: &[")
        for member, _ in members[1:]:
            print(f"        &{const(member)},")
        print("    ],\n};")
    for name in tables:
        print(f"\n/// Table `{name}`.\npub static {const(name)}: Table = Table {{\n    name: \"{name}\",\n    fields: &[")
        for _, field, kind, default in fields(name):
            d = "" if default.strip() in ("0", "0.0", "False", "None") else f".or({float(default) if 'F' in kind.split('::')[1][:1] else {'True': '1.0'}.get(default, str(float(default)))})"
            print(f'        Field::new("{snake(field)}", {kind}){d},')
        print("    ],\n};")


main()
