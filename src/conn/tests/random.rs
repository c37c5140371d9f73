//! Random operations on a connection against a plain model.

use proptest::prelude::*;

use super::clock::Tick;
use super::pair::{Op, Pair};
use super::*;

fn op() -> impl Strategy<Value = Op> {
    let len = || prop_oneof![5 => 0..9usize, 1 => 0..30_000usize];
    let room = prop_oneof![12 => len().prop_map(Some), 1 => Just(None)];
    let tick = prop_oneof![
        1 => (0..20u64).prop_map(Tick::Period),
        2 => Just(Tick::Touch),
        2 => Just(Tick::Wake),
        3 => (0..15u64).prop_map(Tick::Look),
    ];
    prop_oneof![
        2 => Just(Op::Connect),
        4 => Just(Op::Connected),
        20 => (len(), room, any::<bool>()).prop_map(|(len, room, owned)| Op::Write { len, room, owned }),
        12 => len().prop_map(Op::Flush),
        1 => Just(Op::FlushFails),
        1 => Just(Op::End),
        1 => Just(Op::EndFails),
        3 => Just(Op::Cork),
        3 => Just(Op::Uncork),
        1 => any::<bool>().prop_map(Op::Destroy),
        1 => Just(Op::DestroySoon),
        4 => any::<bool>().prop_map(Op::Flow),
        2 => Just(Op::Attach),
        2 => Just(Op::Piped),
        2 => Just(Op::Unpiped),
        2 => len().prop_map(Op::Read),
        2 => Just(Op::Rest),
        2 => Just(Op::Wake),
        2 => Just(Op::Eof),
        1 => Just(Op::ReadError),
        16 => Just(Op::Deliver),
        2 => (0..20usize).prop_map(Op::HighWaterMark),
        1 => any::<bool>().prop_map(Op::HalfOpen),
        4 => tick.prop_map(Op::Clock),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn behaves_as_the_model(
        adopted in any::<bool>(),
        max_queued in prop_oneof![4 => Just(usize::MAX), 1 => 1..30_000usize],
        ops in proptest::collection::vec(op(), 1..100),
    ) {
        let mut pair = Pair::new(adopted, limits(0, max_queued));
        for op in ops {
            pair.apply(op);
            pair.compare();
        }
        pair.run_to_the_end();
    }
}
