//! Host, method, path and header fields → the first route that matches. A hash map over hosts and a tree over path
//! segments find the candidates, so a look-up costs the length of host and path and not the number of routes;
//! routes that differ in method or header fields alone share a leaf and are compared one by one. Nothing is allocated.

pub(crate) mod pattern;

use ahash::RandomState;
use hashbrown::HashMap;

use crate::decision::RouteId;
use crate::request::Request;
use pattern::{HostPattern, Matcher, PathPattern, Segment};

/// The compiled routes.
#[derive(Debug, Default)]
pub(crate) struct Router {
    exact: HashMap<Box<str>, Tree, RandomState>,
    /// `*.example.com`, under `.example.com`.
    below: HashMap<Box<str>, Tree, RandomState>,
    any: Tree,
    matchers: Vec<Matcher>,
}

impl Router {
    /// In the order of the routes' ids.
    pub(crate) fn new(matchers: Vec<Matcher>) -> Self {
        let mut router = Self::default();
        for (index, matcher) in matchers.iter().enumerate() {
            let Ok(index) = u16::try_from(index) else {
                break;
            };
            for host in &matcher.hosts {
                let tree = match host {
                    HostPattern::Any => &mut router.any,
                    HostPattern::Exact(name) => router.exact.entry(name.clone()).or_default(),
                    HostPattern::Below(suffix) => router.below.entry(suffix.clone()).or_default(),
                };
                for path in &matcher.paths {
                    tree.insert(path, RouteId(index));
                }
            }
        }
        router.matchers = matchers;
        router
    }

    pub(crate) fn matchers(&self) -> &[Matcher] {
        &self.matchers
    }

    /// The first route that matches.
    pub(crate) fn find(&self, request: &Request<'_>) -> Option<RouteId> {
        let mut search = Search {
            router: self,
            request,
            best: None,
        };
        if let Some(tree) = self.exact.get(request.host) {
            search.tree(tree);
        }
        if !self.below.is_empty() {
            for (dot, _) in request.host.match_indices('.') {
                let suffix = request.host.get(dot..).unwrap_or_default();
                if let Some(tree) = self.below.get(suffix).filter(|_| dot > 0) {
                    search.tree(tree);
                }
            }
        }
        search.tree(&self.any);
        search.best
    }
}

/// A tree over path segments; the root is the first node.
#[derive(Debug, Default)]
struct Tree {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, usize, RandomState>,
    /// `{name}`: any one segment that is not empty.
    parameter: Option<usize>,
    /// Routes for exactly this path, in order.
    exact: Vec<RouteId>,
    /// Routes for this path and everything below, in order.
    below: Vec<RouteId>,
    /// The first route here or deeper: what comes later than the best so far is not walked.
    first: Option<RouteId>,
}

impl Tree {
    fn insert(&mut self, path: &PathPattern, route: RouteId) {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let mut at = 0;
        for segment in &path.segments {
            let new = self.nodes.len();
            let Some(node) = self.nodes.get_mut(at) else {
                return;
            };
            node.first = node.first.or(Some(route));
            at = match segment {
                Segment::Literal(text) => *node.literals.entry(text.clone()).or_insert(new),
                Segment::Parameter => *node.parameter.get_or_insert(new),
            };
            if at == new {
                self.nodes.push(Node::default());
            }
        }
        if let Some(node) = self.nodes.get_mut(at) {
            node.first = node.first.or(Some(route));
            let list = if path.below {
                &mut node.below
            } else {
                &mut node.exact
            };
            list.push(route);
        }
    }
}

struct Search<'s, 'r> {
    router: &'s Router,
    request: &'s Request<'r>,
    best: Option<RouteId>,
}

impl Search<'_, '_> {
    fn tree(&mut self, tree: &Tree) {
        let path = self.request.compared;
        self.walk(tree, 0, Some(path.strip_prefix('/').unwrap_or(path)));
    }

    /// As deep as the longest pattern at most, whatever the path.
    fn walk(&mut self, tree: &Tree, at: usize, rest: Option<&str>) {
        let Some(node) = tree.nodes.get(at) else {
            return;
        };
        if node
            .first
            .is_none_or(|first| self.best.is_some_and(|best| best <= first))
        {
            return;
        }
        self.candidates(&node.below);
        let Some(rest) = rest else {
            self.candidates(&node.exact);
            return;
        };
        let (segment, rest) = match rest.split_once('/') {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (rest, None),
        };
        if let Some(next) = node.literals.get(segment) {
            self.walk(tree, *next, rest);
        }
        if let Some(next) = node.parameter
            && !segment.is_empty()
        {
            self.walk(tree, next, rest);
        }
    }

    fn candidates(&mut self, routes: &[RouteId]) {
        for route in routes {
            if self.best.is_some_and(|best| best <= *route) {
                return;
            }
            let matcher = self.router.matchers.get(usize::from(route.0));
            if matcher.is_some_and(|matcher| matcher.fits(self.request)) {
                self.best = Some(*route);
                return;
            }
        }
    }
}

#[cfg(test)]
#[path = "route/tests.rs"]
mod tests;
