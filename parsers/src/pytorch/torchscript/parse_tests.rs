use super::*;
use crate::pytorch::torchscript::ast::Logic;

fn statements(text: &str) -> Vec<StmtKind> {
    let source = format!("def f(x: Tensor) -> Tensor:\n{text}");
    let file = file(&source).unwrap();
    file.functions[0].body.iter().map(|s| s.kind.clone()).collect()
}

fn name(n: &str) -> Kind {
    Kind::Name(n.into())
}

#[test]
fn a_module_with_attributes_and_methods() {
    let text = "class M(Module):\n  __parameters__ = [\"w\", ]\n  w : Tensor\n  n : Final[Tuple[int]] = (3,)\n  \
                __annotations__[\"0\"] = __torch__.a.B\n  def forward(self: __torch__.M,\n    x: Tensor,\n    \
                y: Optional[Tensor]=None) -> Tuple[Tensor, int]:\n    return (x, 1)\nclass P(NamedTuple):\n  a : \
                Tensor\n";
    let file = file(text).unwrap();
    let class = &file.classes[0];
    assert_eq!(class.base.as_deref(), Some("Module"));
    let fields: Vec<&str> = class.fields.iter().map(|f| &*f.name).collect();
    assert_eq!(fields, ["__parameters__", "w", "n", "0"]);
    assert_eq!(&*class.fields[3].ty.as_ref().unwrap().name, "__torch__.a.B");
    let forward = class.method("forward").unwrap();
    assert_eq!(forward.params.len(), 3);
    assert_eq!(forward.params[2].default.as_ref().unwrap().kind, Kind::None);
    assert_eq!(forward.result.as_ref().unwrap().args.len(), 2);
    assert_eq!(file.classes[1].base.as_deref(), Some("NamedTuple"));
}

#[test]
fn targets() {
    let found =
        statements("  a, b, = x\n  c, = x\n  self.y = a\n  d : Optional[int] = None\n  e, f = g, h\n");
    assert!(matches!(&found[0], StmtKind::Unpack(names, _) if names.len() == 2));
    assert!(matches!(&found[1], StmtKind::Unpack(names, _) if names.len() == 1));
    assert!(matches!(&found[2], StmtKind::Assign(Target::Attr(_, n), _, _) if &**n == "y"));
    assert!(matches!(&found[3], StmtKind::Assign(Target::Name(_), Some(t), _) if &*t.name == "Optional"));
    assert!(
        matches!(&found[4], StmtKind::Unpack(names, Expr { kind: Kind::Tuple(v), .. }) if names.len() == 2 && v.len() == 2)
    );
}

#[test]
fn control_flow() {
    let text = "  if a:\n    pass\n  else:\n    if b:\n      x = 1\n    else:\n      pass\n  while c:\n    \
                d = e\n  for i in range(3):\n    f(i)\n  with g:\n    h = 1\n  return x\n";
    let found = statements(text);
    assert!(matches!(&found[0], StmtKind::If(_, a, b) if a.len() == 1 && b.len() == 1));
    assert!(matches!(&found[1], StmtKind::While(_, b) if b.len() == 1));
    assert!(matches!(&found[2], StmtKind::For(n, _, _) if &**n == "i"));
    assert!(matches!(&found[3], StmtKind::With(items, _) if items.len() == 1));
    assert!(matches!(&found[4], StmtKind::Return(Some(_))));
}

fn value(text: &str) -> Kind {
    match statements(&format!("  y = {text}\n")).remove(0) {
        StmtKind::Assign(_, _, value) => value.kind,
        other => panic!("{other:?}"),
    }
}

#[test]
fn expressions() {
    assert_eq!(value("-9223372036854775808"), Kind::Int(i64::MIN));
    assert_eq!(value("-inf"), Kind::Float(f64::NEG_INFINITY));
    assert_eq!(value("1e-05"), Kind::Float(1e-5));
    assert_eq!(value("(a)"), name("a"));
    assert!(matches!(value("(a,)"), Kind::Tuple(v) if v.len() == 1));
    assert!(matches!(value("()"), Kind::Tuple(v) if v.is_empty()));
    assert!(
        matches!(value("(self).forward(x, y, )"), Kind::Call(f, a, _) if a.len() == 2 && matches!(f.kind, Kind::Attr(..)))
    );
    assert!(
        matches!(value("torch.zeros([1, n], dtype=6)"), Kind::Call(_, a, k) if a.len() == 1 && k.len() == 1)
    );
    assert!(matches!(value("{\"a\": b, \"c\": d}"), Kind::Dict(v) if v.len() == 2));
    assert!(matches!(value("annotate(List[Optional[Tensor]], [a])"), Kind::Call(_, a, _) if a.len() == 2));
    assert!(matches!(value("a if b else c"), Kind::Choice(_)));
    assert!(matches!(value("not a and b"), Kind::Logic(Logic::And, _)));
    assert!(matches!(value("(torch.size(x))[-1]"), Kind::Item(..)));
}

#[test]
fn what_is_refused() {
    let at = |text: &str| file(text).unwrap_err().pos;
    assert_eq!(at("import os\n"), 0);
    assert_eq!(at("def f():\n  x = = 3\n"), 15);
    assert_eq!(at("def f():\n  import os\n"), 11);
    assert!(file(&format!("def f():\n  x = {}1\n", "(".repeat(50_000))).is_err());
    assert!(file(&format!("def f():\n  x = {}1\n", "-".repeat(50_000))).is_err());
    assert!(file(&format!("def f():\n  x = a{}\n", ".b".repeat(50_000))).is_err());
    assert!(file(&format!("def f():\n  x = {}a\n", "not ".repeat(50_000))).is_err());
    assert!(file(&format!("def f():\n  x : {}int\n", "List[".repeat(50_000))).is_err());
    assert!(file(&format!("def f():\n  x = 1{}\n", " if a else 1".repeat(50_000))).is_err());
    assert!(file("class M(Module):\n  def forward(self,\n").is_err());
}
