import Foundation
import WireProtocol

/// One query: what to find, or what to do with what its prefetches found.
struct QueryRequest: Sendable {
    /// Their results are the candidates. None: all points are.
    var prefetch: [Prefetch] = []
    /// None: points by id.
    var query: Query?
    /// Name of the vector; "" where it has none.
    var using = ""
    var filter: Filter?
    var limit = 10
    var offset = 0
    var scoreThreshold: Float?
    /// No one-byte codes: a scan of the vectors themselves.
    var exact = false
    /// The points over which the inverse document frequencies of a sparse vector are computed. None: all that have it.
    var idfCorpus: Filter?
    var fields = PointFields(payload: .none)
}

/// A query whose results another one works on.
struct Prefetch: Sendable {
    var prefetch: [Prefetch] = []
    var query: Query?
    var using = ""
    var filter: Filter?
    var limit = 10
    var scoreThreshold: Float?
    var exact = false
    var idfCorpus: Filter?
}

enum Query: Sendable {
    case nearest(VectorTarget)
    /// Of `candidates` near the target (`limit` when `nil`) those that are near it and unlike each other: maximal marginal relevance.
    /// `diversity`: 0 (near) to 1 (unlike).
    case diverse(VectorTarget, diversity: Float, candidates: Int?)
    case recommend(positive: [VectorTarget], negative: [VectorTarget], RecommendStrategy)
    /// On the right side of as many pairs as possible; among equals near the target.
    case discover(target: VectorTarget, context: [ContextPair])
    /// On the right side of all pairs, or little on the wrong one.
    case context([ContextPair])
    /// Near the target, and more like what was scored higher than like what was scored lower.
    case feedback(RelevanceFeedback)
    case fusion(Fusion)
    /// Scores what the prefetches found.
    case formula(Formula)
    case orderBy(OrderBy)
    /// Points at random.
    case sample
}

enum RecommendStrategy: String, Sendable, CaseIterable {
    /// Near one vector: the mean of the positive ones, moved away from the mean of the negative ones.
    case averageVector = "average_vector"
    /// By the nearest example: good where it is positive, bad where it is negative.
    case bestScore = "best_score"
    case sumScores = "sum_scores"
}

/// Scores that somebody gave points, to find others by. Source: `NaiveFeedbackStrategy` of `qdrant-openapi.json`: a times the similarity
/// to the target, and for each two examples c times their difference in score to the power of b, times the difference in similarity.
struct RelevanceFeedback: Sendable {
    struct Item: Sendable {
        var example: VectorTarget
        var score: Float
    }
    var target: VectorTarget
    var items: [Item]
    var a: Float
    var b: Float
    var c: Float

    /// The target, then the items.
    var examples: [VectorTarget] { [target] + items.map(\.example) }
    /// What each example's similarity counts.
    var weights: [Float] {
        var weights = [a] + items.map { _ in 0 }
        for (better, first) in items.enumerated() {
            for (worse, second) in items.enumerated() where first.score > second.score {
                let weight = pow(first.score - second.score, b) * c
                weights[better + 1] += weight
                weights[worse + 1] -= weight
            }
        }
        return weights
    }
}

struct ContextPair: Sendable {
    var positive: VectorTarget
    var negative: VectorTarget
}

enum VectorTarget: Sendable {
    case values(VectorValues)
    /// The vector of this point, which is itself left out.
    case point(PointID)
}

/// How the lists of several prefetches become one.
enum Fusion: Sendable {
    /// Reciprocal rank fusion: the sum of 1 / (k + position), position from 0. `weights`: one for each prefetch.
    case rrf(k: Int, weights: [Float]?)
    /// Distribution-based score fusion: the sum of scores, each list's put on one scale by its mean and deviation.
    case dbsf
}

struct OrderBy: Sendable {
    var key: PayloadPath
    var descending = false
    /// A number or an RFC 3339 date: where the order starts.
    var startFrom: JSONValue?
}

struct GroupsRequest: Sendable {
    /// Its `limit` is not used.
    var query: QueryRequest
    var groupBy: PayloadPath
    var groupSize = 3
    var groups = 10
}

struct PointGroup: Sendable {
    /// The value that its points share: a string or an integer.
    var id: JSONValue
    var points: [StoredPoint]
}

struct FacetRequest: Sendable {
    var key: PayloadPath
    var filter: Filter?
    var limit = 10
    var exact = false
}

struct FacetHit: Sendable {
    var value: JSONValue
    var count: Int
}
