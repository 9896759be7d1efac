use super::*;

fn nothing() -> Weights {
    Weights::default()
}

#[test]
fn every_architecture_is_a_program_that_asks_for_weights() {
    // Numbers of parameters and buffers as torchvision's models have them, counters of batches apart.
    let counts = [
        ("alexnet", 16),
        ("densenet121", 606),
        ("mobilenet_v2", 262),
        ("resnet18", 102),
        ("resnet50", 267),
        ("squeezenet1_0", 52),
        ("vgg11", 22),
        ("vgg19_bn", 102),
        ("wide_resnet50_2", 267),
    ];
    let weights = nothing();
    for (name, make) in ARCHITECTURES {
        let mut net = Net::new(name, &weights).unwrap();
        make(&mut net).unwrap();
        if let Some((_, count)) = counts.iter().find(|row| row.0 == *name) {
            assert_eq!(net.declared(), *count, "{name}");
        }
        let diags = net.finish().unwrap_err();
        assert!(diags.to_string().contains("is missing: the architecture needs f32["), "{name}: {diags}");
    }
}

#[test]
fn an_unknown_name_lists_those_that_are_known() {
    let diags = build("resnet49", &nothing()).unwrap_err();
    assert!(diags.0[0].hint.as_deref().is_some_and(|h| h.contains("resnet50")), "{diags}");
}
