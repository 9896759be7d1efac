//! Minimum cut by maximum flow, after Dinic: shortest augmenting paths, level by level.

/// Capacity that no cut pays.
pub const ALWAYS: u64 = u64::MAX / 4;
/// The vertex on the side whose label is 1.
pub const SOURCE: usize = 0;
/// The vertex on the side whose label is 0.
pub const SINK: usize = 1;
/// Most edges looked at: keeps hostile graphs from taking forever. The cut may not be the least one then.
const MOST_STEPS: u64 = 1 << 30;

/// A network of directed edges with capacities.
pub struct Cut {
    /// First edge of each vertex.
    first: Vec<Option<u32>>,
    /// For each edge, the next one of the same vertex.
    next: Vec<Option<u32>>,
    to: Vec<u32>,
    left: Vec<u64>,
    level: Vec<u32>,
    steps: u64,
}

impl Default for Cut {
    fn default() -> Self {
        Self { first: vec![None; 2], next: vec![], to: vec![], left: vec![], level: vec![], steps: 0 }
    }
}

impl Cut {
    /// A new vertex.
    pub fn vertex(&mut self) -> usize {
        self.first.push(None);
        self.first.len() - 1
    }
    /// `capacity` is paid when `from` has label 1 and `to` has label 0.
    pub fn edge(&mut self, from: usize, to: usize, capacity: u64) {
        if from == to || capacity == 0 || to == SOURCE || from == SINK {
            return;
        }
        self.half_edge(from, to, capacity.min(ALWAYS));
        self.half_edge(to, from, 0);
    }
    /// One value that vertex `def` gives to `users`: `out` is paid once when `def` has label 0 and a user has label 1, `back` once when `def` has label 1 and a user
    /// has label 0.
    pub fn shared(&mut self, def: usize, mut users: Vec<usize>, (out, back): (u64, u64)) {
        users.sort_unstable();
        users.dedup();
        match users.as_slice() {
            [] => {}
            [user] => {
                self.edge(*user, def, out);
                self.edge(def, *user, back);
            }
            _ => {
                let wide = if users.contains(&SOURCE) { SOURCE } else { self.vertex() };
                let narrow = self.vertex();
                for user in users {
                    self.edge(user, wide, ALWAYS);
                    self.edge(narrow, user, ALWAYS);
                }
                self.edge(wide, def, out);
                self.edge(def, narrow, back);
            }
        }
    }
    fn half_edge(&mut self, from: usize, to: usize, capacity: u64) {
        let edge = self.to.len() as u32;
        self.to.push(to as u32);
        self.left.push(capacity);
        self.next.push(self.first[from].replace(edge));
    }
    /// The label of each vertex in a cut of least capacity; among several, the one with the fewest labels 1.
    pub fn solve(mut self) -> Vec<bool> {
        while self.find_levels() && self.steps < MOST_STEPS {
            self.augment();
        }
        self.find_levels();
        self.level.iter().enumerate().map(|(v, l)| *l != u32::MAX && v != SINK).collect()
    }
    fn edges(&self, v: usize) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(self.first[v].map(|e| e as usize), |e| self.next[*e].map(|e| e as usize))
    }
    /// Distance of every vertex from the source along edges with capacity left; whether the sink is reached.
    fn find_levels(&mut self) -> bool {
        let mut level = vec![u32::MAX; self.first.len()];
        level[SOURCE] = 0;
        let mut queue = vec![SOURCE];
        let mut at = 0;
        while let Some(v) = queue.get(at).copied() {
            at += 1;
            for e in self.edges(v) {
                let w = self.to[e] as usize;
                if self.left[e] > 0 && level[w] == u32::MAX {
                    level[w] = level[v] + 1;
                    queue.push(w);
                }
            }
        }
        self.steps += self.to.len() as u64;
        self.level = level;
        self.level[SINK] != u32::MAX
    }
    /// Fills paths that go one level further with each edge until there is none.
    fn augment(&mut self) {
        let mut at = self.first.clone();
        let mut path: Vec<usize> = vec![];
        let mut v = SOURCE;
        while self.steps < MOST_STEPS {
            self.steps += 1;
            if v == SINK {
                v = self.push(&mut path);
                continue;
            }
            if let Some(e) = at[v].map(|e| e as usize) {
                let w = self.to[e] as usize;
                if self.left[e] > 0 && self.level[w] == self.level[v] + 1 {
                    path.push(e);
                    v = w;
                } else {
                    at[v] = self.next[e];
                }
                continue;
            }
            let Some(e) = path.pop() else { return };
            v = self.to[e ^ 1] as usize;
            at[v] = self.next[e];
        }
    }
    /// Fills `path` and cuts it back to before its first full edge; the vertex there.
    fn push(&mut self, path: &mut Vec<usize>) -> usize {
        self.steps += path.len() as u64;
        let most = path.iter().map(|e| self.left[*e]).min().unwrap_or(0);
        for e in path.iter() {
            self.left[*e] -= most;
            self.left[*e ^ 1] = self.left[*e ^ 1].saturating_add(most);
        }
        let full = path.iter().position(|e| self.left[*e] == 0).unwrap_or(0);
        let v = path.get(full).map_or(SOURCE, |e| self.to[*e ^ 1] as usize);
        path.truncate(full);
        v
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A linear congruential generator (Knuth's constants).
    struct Random(u64);
    impl Random {
        fn below(&mut self, n: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % n
        }
    }

    fn network(vertices: usize, edges: &[(usize, usize, u64)]) -> Cut {
        let mut cut = Cut::default();
        for _ in 2..vertices {
            cut.vertex();
        }
        for (a, b, c) in edges {
            cut.edge(*a, *b, *c);
        }
        cut
    }

    fn cost(labels: &[bool], edges: &[(usize, usize, u64)]) -> u64 {
        edges.iter().filter(|(a, b, _)| labels[*a] && !labels[*b]).map(|e| e.2).sum()
    }

    /// The least cost of all labellings.
    fn by_trying(vertices: usize, edges: &[(usize, usize, u64)]) -> u64 {
        let all = (0..1u32 << (vertices - 2)).map(|bits| {
            let label = |v: usize| v == SOURCE || v > SINK && bits >> (v - 2) & 1 == 1;
            cost(&(0..vertices).map(label).collect::<Vec<_>>(), edges)
        });
        all.min().expect("at least one")
    }

    #[test]
    fn small_cuts_are_least() {
        let mut r = Random(7);
        for round in 0..300 {
            let vertices = 3 + r.below(11) as usize;
            let mut edges = vec![];
            for _ in 0..r.below(40) {
                let (a, b) = (r.below(vertices as u64) as usize, r.below(vertices as u64) as usize);
                if a != b && b != SOURCE && a != SINK {
                    edges.push((a, b, r.below(20)));
                }
            }
            let labels = network(vertices, &edges).solve();
            assert!(labels[SOURCE] && !labels[SINK], "round {round}");
            assert_eq!(cost(&labels, &edges), by_trying(vertices, &edges), "round {round}: {edges:?}");
        }
    }

    #[test]
    fn of_equal_cuts_the_one_with_fewest_ones_is_taken() {
        let labels = network(4, &[(0, 2, 5), (2, 3, 5), (3, 1, 5)]).solve();
        assert_eq!(labels, [true, false, false, false]);
    }

    #[test]
    fn long_and_wide_networks_are_solved() {
        let chain: Vec<(usize, usize, u64)> = (2..20_001).map(|v| (v, v + 1, 1 + v as u64 % 7)).collect();
        let ends = [(0, 2, ALWAYS), (20_001, 1, ALWAYS)];
        let edges = [chain.as_slice(), &ends].concat();
        assert_eq!(cost(&network(20_002, &edges).solve(), &edges), 1);
        let (side, mut r, mut grid) = (142, Random(3), vec![]);
        for v in 0..side * side {
            let (x, y) = (v % side, v / side);
            for (dx, dy) in [(1, 0), (0, 1)] {
                if x + dx < side && y + dy < side {
                    let w = 2 + (y + dy) * side + x + dx;
                    grid.push((2 + v, w, 1 + r.below(30)));
                    grid.push((w, 2 + v, 1 + r.below(30)));
                }
            }
            match r.below(20) {
                0 => grid.push((0, 2 + v, 40)),
                1 => grid.push((2 + v, 1, 40)),
                _ => {}
            }
        }
        let labels = network(2 + side * side, &grid).solve();
        let ones: u64 = grid.iter().filter(|e| e.0 == 0).map(|e| e.2).sum();
        assert!(cost(&labels, &grid) <= ones);
    }
}
