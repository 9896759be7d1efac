//! Where a node comes from: its name, its module, and the user's source line.
use crate::pytorch::schema::Node;
use hoist_ir::graph::{Origin, OriginPart};
use std::sync::Arc;

/// Longest text taken over from a file's metadata.
const MAX_TEXT: usize = 300;

/// The operator as messages name it: `aten.conv2d.default`.
pub fn op_name(target: &str) -> &str {
    target.strip_prefix("torch.ops.").unwrap_or(target)
}

/// Name of the node, or of its first result.
pub fn node_name(node: &Node) -> String {
    let first = || node.outputs.iter().find_map(|o| o.names().first().map(ToString::to_string));
    node.name.clone().or_else(first).unwrap_or_default()
}

/// The origin of a node.
pub fn of(node: &Node) -> Origin {
    Origin::new(OriginPart {
        name: node_name(node).into(),
        op: op_name(&node.target).into(),
        module: node.metadata.get("nn_module_stack").and_then(|s| module(s)),
        line: node.metadata.get("stack_trace").and_then(|s| source_line(s)),
    })
}

/// The innermost module of `key,path,class;key,path,class`; none for the model itself.
fn module(stack: &str) -> Option<Arc<str>> {
    let path = stack.rsplit(';').next()?.split(',').nth(1)?;
    (!path.is_empty()).then(|| clip(path).into())
}

/// `file:line` of the last frame outside PyTorch itself.
fn source_line(trace: &str) -> Option<Arc<str>> {
    let frame = |line: &str| {
        let rest = line.trim_start().strip_prefix("File \"")?;
        let (file, rest) = rest.split_once('"')?;
        let number = rest.strip_prefix(", line ")?.split([',', ' ']).next()?;
        Some((file.to_owned(), number.parse::<u32>().ok()?))
    };
    let frames: Vec<(String, u32)> = trace.lines().filter_map(frame).collect();
    let own = |f: &&(String, u32)| !f.0.contains("/torch/") && !f.0.contains("\\torch\\");
    let (file, line) = frames.iter().rev().find(own).or(frames.last())?;
    Some(format!("{}:{line}", clip(file)).into())
}

fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_line_and_the_innermost_module() {
        let trace = "  File \"/home/u/model.py\", line 42, in forward\n    y = self.conv(x)\n  File \
                     \"/v/site-packages/torch/nn/modules/conv.py\", line 7, in forward\n    return f(x)";
        assert_eq!(source_line(trace).as_deref(), Some("/home/u/model.py:42"));
        assert_eq!(source_line("nothing"), None);
        let stack = "L__self__,,__main__.M;L__self___conv,conv,torch.nn.Conv2d";
        assert_eq!(module(stack).as_deref(), Some("conv"));
        assert_eq!(module("L__self__,,__main__.M"), None);
    }
}
