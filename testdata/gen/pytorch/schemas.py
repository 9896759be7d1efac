"""Writes the table of ATen schemas that TorchScript calls are matched with.

    python schemas.py > parsers/src/pytorch/torchscript/aten_schemas.txt

One line per overload: `name.overload` (with `[]` when the result is a list) and its arguments `type name=default`, separated by commas; `*` as in Python. Only what has
a tensor among its arguments or results; forms that write to `out` arguments and those of other back ends are left out.
"""
import re

import torch

SKIP = re.compile(
    r"^(_foreach|_fused|_nested|nested_|_sparse|sparse_|_cudnn|cudnn|miopen|mkldnn|_mkldnn|_cuda|_mps|_test|_amp|_thnn|_fw|_make_"
    r"|_coalesce|_indices|_values|crow_|ccol_|row_|col_|_spsolve|to_sparse|_to_sparse|to_mkldnn|_convert_indices|_propagate|_wrapped"
    r"|sspaddmm|_standard_gamma|_dirichlet|_sample_dirichlet|_assert|_print|_backward|_cslt|_cufft|_dim|_version|_use_cudnn|_validate"
    r"|_efficient|_flash|_triton|_histogramdd|_jagged|_padded|_pin|_reshape_from|_resize_output|_nnpack|_mixed|_weight_int|_dyn|_int_mm"
    r"|_local_scalar|_lazy|_neg_view|_autocast|_debug|_chunk_cat|_compute|_convert_weight|_copy_from|_debug_has|_embedding_bag_d"
    r"|_embedding_bag_p|_embedding_bag_s|_euclid|_has_|_is_|_gather_sp|_unsafe_masked_i.*_b|retain|rename|refine|align|batch_norm_|record)"
)
KEEP = {"_softmax_backward_data", "native_dropout_backward", "max_pool2d_with_indices_backward"}



def arguments(schema):
    """`type name=default` of each argument, from the schema's own text."""
    text = str(schema)
    start = text.index("(") + 1
    depth, parts, part = 1, [], ""
    for c in text[start:]:
        depth += (c in "([") - (c in ")]")
        if depth == 0:
            break
        if c == "," and depth == 1:
            parts.append(part.strip())
            part = ""
        else:
            part += c
    parts.append(part.strip())
    out = []
    for part in filter(None, parts):
        if part in ("*", "..."):
            out.append(part)
            continue
        part = re.sub(r"\([a-z]!?( -> \*)?(\|[a-z])?\)", "", part)
        head, _, default = part.partition("=")
        ty, name = head.rsplit(" ", 1)
        ty = ty.replace("SymInt", "int").replace(" ", "")
        default = default.replace(" ", "").replace(",", ";")
        out.append(f"{ty} {name}" + (f"={default}" if "=" in part else ""))
    return out


rows = []
for schema in torch._C._jit_get_all_schemas():
    library, name = schema.name.split("::", 1)
    text = str(schema)
    if library != "aten" or "Tensor" not in text or "Dict(" in text or "Dimname" in text or "..." in text:
        continue
    if "!) out" in text or re.search(r"\(\w!\) \w*(out|values|indices|save_\w+)\b", text.split("->")[0]) and "*, " in text:
        continue
    if name not in KEEP and (SKIP.match(name) or name.endswith("_backward") or "backward" in name or "cudnn" in name):
        continue
    overload = schema.overload_name
    result = "[]" if len(schema.returns) == 1 and "List" in str(schema.returns[0].type) else ""
    rows.append((name, overload, f"{name}.{overload}{result} " + ",".join(arguments(schema))))
seen = set()
for name, overload, row in sorted(rows, key=lambda r: r[0]):  # stable: overloads stay in the order of registration
    if row not in seen:
        seen.add(row)
        print(row.rstrip())
