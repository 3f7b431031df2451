import CVectorKernel
import WireProtocol

/// One query over one moment of a collection: its prefetches, what is done with them, and the points that are left.
struct CollectionQuery: Sendable {
    struct Hit: Sendable {
        var slot: Int
        var score: Float
        var orderValue: JSONValue?
    }
    let snapshot: Snapshot
    /// Where the points of `request.ids` are.
    let located: [PointID: Int]
    let configuration: CollectionConfiguration
    let pool: ScanPool

    /// Best first. Throws: `wrongInput`, `pointNotFound`.
    func hits(of request: QueryRequest) async throws -> [Hit] {
        var root = Prefetch(
            prefetch: request.prefetch, query: request.query, using: request.using, filter: request.filter,
            scoreThreshold: request.scoreThreshold, exact: request.exact, idfCorpus: request.idfCorpus)
        // Of so many candidates, whatever the offset.
        if case .diverse(let target, let diversity, nil)? = request.query {
            root.query = .diverse(target, diversity: diversity, candidates: request.limit)
        }
        let (end, overflow) = request.offset.addingReportingOverflow(request.limit)
        root.limit = overflow ? .max : end
        // As Qdrant: prefetches find so many more.
        if case .sample? = request.query {
            root.prefetch = root.prefetch.map { $0.reaching(further: request.offset) }
        }
        let found = try await hits(of: root, in: Scope(filter: nil, mask: snapshot.live))
        // As Qdrant: what is drawn from all points has no first ones to leave out.
        if case .sample? = request.query, root.prefetch.isEmpty { return Array(found.prefix(request.limit)) }
        return Array(found.dropFirst(request.offset))
    }

    /// What a level of the query may find: the filters of the levels above, merged, and their slots.
    private struct Scope {
        var filter: Filter?
        var mask: Bitmap
    }

    private func hits(of level: Prefetch, in outer: Scope) async throws -> [Hit] {
        var inner = outer
        let mentioned = level.query?.ids ?? []
        if level.filter != nil || !mentioned.isEmpty {
            var filter = level.filter
            if !mentioned.isEmpty {
                filter = (filter ?? Filter())
                filter?.mustNot.append(.hasID(mentioned))
            }
            let merged = Filter.merging(outer.filter, filter)
            inner = Scope(filter: merged, mask: try matches(merged))
        }
        if level.prefetch.isEmpty {
            switch level.query {
            case .fusion?, .formula?:
                throw StoreError.wrongInput("A fusion or formula needs prefetches: there is nothing to score")
            default: break
            }
            return try await base(level, inner.mask)
        }
        guard let query = level.query else {
            throw StoreError.wrongInput(
                "A query is needed to merge the prefetches. Can't have prefetches without defining a query.")
        }
        var lists: [[Hit]] = []
        for prefetch in level.prefetch { lists.append(try await hits(of: prefetch, in: inner)) }
        if case .fusion(let fusion) = query {
            return fusion.fused(lists).prefix(level.limit).filter { hit in
                level.scoreThreshold.map { hit.score >= $0 } ?? true
            }
        }
        if case .formula(let formula) = query {
            return try scored(lists, by: formula).prefix(level.limit).filter { hit in
                level.scoreThreshold.map { hit.score >= $0 } ?? true
            }
        }
        var candidates = Bitmap(count: snapshot.count)
        for hit in lists.joined() { candidates[hit.slot] = true }
        inner.mask.formIntersection(candidates)
        return try await base(level, inner.mask)
    }

    private func matches(_ filter: Filter) throws -> Bitmap {
        try FilterEvaluation(snapshot: snapshot, located: located, vectorNames: configuration.vectorNames).matches(
            filter)
    }

    /// A query without prefetches, or over what they found.
    private func base(_ level: Prefetch, _ mask: Bitmap) async throws -> [Hit] {
        let limit = min(level.limit, snapshot.liveCount)
        switch level.query {
        case nil: return byID(mask, limit)
        case .nearest(let target)?: return try await nearest(target, level, mask, limit)
        case .diverse(let target, let diversity, let candidates)?:
            let wanted = min(candidates ?? limit, snapshot.liveCount)
            // Each that is chosen is compared with all that are left.
            guard wanted <= Diversity.maximumCandidates else {
                throw StoreError.wrongInput(
                    "mmr chooses among at most \(Diversity.maximumCandidates) candidates: set candidates_limit")
            }
            let found = try await nearest(target, level, mask, wanted)
            return try diverse(found, target, level, diversity, limit)
        case .recommend(let positive, let negative, .averageVector)?:
            return try await nearest(.values(try average(positive, negative, level)), level, mask, limit)
        case .recommend(let positive, let negative, .bestScore)?:
            return try await scored(.bestScore(positive: positive.count), positive + negative, level, mask, limit)
        case .recommend(let positive, let negative, .sumScores)?:
            return try await scored(.sumScores(positive: positive.count), positive + negative, level, mask, limit)
        case .discover(let target, let context)?:
            return try await scored(.discover, [target] + context.flatMap(\.both), level, mask, limit)
        case .feedback(let feedback)?:
            return try await scored(.weighted(feedback.weights), feedback.examples, level, mask, limit)
        case .context(let pairs)?: return try await scored(.context, pairs.flatMap(\.both), level, mask, limit)
        case .orderBy(let order)?: return try ordered(order, mask, limit)
        case .sample?: return sample(mask, limit)
        case .fusion?, .formula?: preconditionFailure("fusions and formulas have prefetches")
        }
    }

    private func scored(_ lists: [[Hit]], by formula: Formula) throws -> [Hit] {
        let scores = lists.map { Dictionary($0.map { ($0.slot, $0.score) }) { first, _ in first } }
        let conditions = try formula.conditions.map(matches)
        var seen = Set<Int>()
        var hits: [Hit] = []
        for hit in lists.joined() where seen.insert(hit.slot).inserted {
            let evaluation = FormulaEvaluation(
                formula: formula, scores: scores, matches: conditions, slot: hit.slot,
                payload: try Payload.parse(snapshot.view.payload(of: hit.slot)))
            hits.append(Hit(slot: hit.slot, score: try evaluation.score()))
        }
        return hits.bestFirst()
    }

    // MARK: - Without vectors: the score says nothing, Qdrant's is 1

    private func byID(_ mask: Bitmap, _ limit: Int) -> [Hit] {
        snapshot.smallestIDs(in: mask, from: PointID(number: 0), limit: limit).map { Hit(slot: Int($0), score: 1) }
    }

    private func sample(_ mask: Bitmap, _ limit: Int) -> [Hit] {
        var slots: [Int] = []
        mask.forEachSlot { slots.append($0) }
        let wanted = min(limit, slots.count)
        for index in 0..<wanted { slots.swapAt(index, Int.random(in: index..<slots.count)) }
        return slots.prefix(wanted).map { Hit(slot: $0, score: 1) }
    }

    private func ordered(_ order: OrderBy, _ mask: Bitmap, _ limit: Int) throws -> [Hit] {
        try snapshot.ordered(by: order, in: mask, limit: limit).map { entry in
            Hit(slot: entry.slot, score: 1, orderValue: entry.value.json)
        }
    }

    // MARK: - By a vector

    private func nearest(_ target: VectorTarget, _ level: Prefetch, _ mask: Bitmap, _ limit: Int) async throws -> [Hit]
    {
        let position = try position(of: level.using)
        let values = try values(of: target, position, level.using)
        var mask = mask
        mask.formIntersection(snapshot.present[position])
        switch values {
        case .dense(let numbers):
            guard let vector = configuration.vector(at: position) else { return [] }
            let scan = VectorScan(snapshot: snapshot, mask: mask, vector: vector)
            let found = try await scan.best(limit, near: numbers, exact: level.exact, pool: pool)
            return found.map { Hit(slot: Int($0.slot), score: vector.distance.presented($0.score)) }.filter { hit in
                guard let threshold = level.scoreThreshold else { return true }
                return vector.distance.largerIsBetter ? hit.score > threshold : hit.score < threshold
            }
        case .sparse(let numbers):
            guard let vector = configuration.sparseVector(at: position) else { return [] }
            let found = try await sparseScan(vector, level, mask).best(limit, near: numbers, pool: pool)
            return found.map { Hit(slot: Int($0.slot), score: $0.score) }.filter { hit in
                level.scoreThreshold.map { hit.score > $0 } ?? true
            }
        }
    }

    private func sparseScan(
        _ vector: CollectionConfiguration.SparseVectorParameters, _ level: Prefetch, _ mask: Bitmap
    ) throws -> SparseScan {
        var corpus = snapshot.present[vector.position]
        if let filter = level.idfCorpus { corpus.formIntersection(try matches(filter)) }
        return SparseScan(snapshot: snapshot, mask: mask, vector: vector, corpus: corpus)
    }

    // MARK: - By several vectors

    private func average(
        _ positive: [VectorTarget], _ negative: [VectorTarget], _ level: Prefetch
    ) throws -> VectorValues {
        let position = try position(of: level.using)
        guard !positive.isEmpty else {
            throw StoreError.wrongInput(
                "At least one positive vector/id must be provided with the average_vector strategy")
        }
        func mean(_ targets: [VectorTarget]) throws -> [(vector: VectorValues, weight: Float)] {
            try targets.map { (try given($0, position, level.using), 1 / Float(targets.count)) }
        }
        let liked = try mean(positive)
        if negative.isEmpty { return try VectorValues.combined(liked) }
        return try VectorValues.combined(
            liked.map { ($0.vector, 2 * $0.weight) } + (try mean(negative)).map { ($0.vector, -$0.weight) })
    }

    private func scored(
        _ scoring: ExampleScoring, _ targets: [VectorTarget], _ level: Prefetch, _ mask: Bitmap, _ limit: Int
    ) async throws -> [Hit] {
        guard !targets.isEmpty else { throw StoreError.wrongInput("At least one example must be provided") }
        let position = try position(of: level.using)
        let examples = try targets.map { try values(of: $0, position, level.using) }
        var mask = mask
        mask.formIntersection(snapshot.present[position])
        let scan = ExampleScan(snapshot: snapshot, mask: mask, scoring: scoring)
        let found: [vector_candidate]
        if let vector = configuration.vector(at: position) {
            let numbers = examples.map { if case .dense(let numbers) = $0 { numbers } else { [Float]() } }
            found = await scan.best(limit, like: numbers, vector, pool: pool)
        } else if let vector = configuration.sparseVector(at: position) {
            let sparse = try sparseScan(vector, level, mask)
            let lists = examples.map { example -> SparseScan.Lists in
                guard case .sparse(let vector) = example else { return SparseScan.Lists(postings: [], weights: []) }
                return sparse.lists(of: vector)
            }
            found = await scan.best(limit, like: lists, pool: pool)
        } else {
            found = []
        }
        // Whatever the scores mean now, Qdrant compares them with a threshold as it does the distance's.
        let largerIsBetter = configuration.vector(at: position)?.distance.largerIsBetter ?? true
        return Array(
            found.map { Hit(slot: Int($0.slot), score: $0.score) }.prefix { hit in
                level.scoreThreshold.map { largerIsBetter ? hit.score > $0 : hit.score < $0 } ?? true
            })
    }

    private func diverse(
        _ candidates: [Hit], _ target: VectorTarget, _ level: Prefetch, _ diversity: Float, _ limit: Int
    ) throws -> [Hit] {
        let position = try position(of: level.using)
        guard let column = snapshot.view.columns.first(where: { $0.position == position }) else { return [] }
        let query = try values(of: target, position, level.using)
        let vectors = try candidates.map { try snapshot.view.values(column, of: $0.slot) }
        let metric = configuration.vector(at: position)?.distance.metric ?? VECTOR_DOT
        func similarity(_ left: VectorValues, _ right: VectorValues) -> Float {
            switch (left, right) {
            case (.dense(let left), .dense(let right)): vector_score(metric, left, right, left.count)
            case (.sparse(let left), .sparse(let right)): left.dot(right)
            default: 0
            }
        }
        let choice = Diversity(
            diversity: diversity, similarity: { similarity(vectors[$0], vectors[$1]) },
            relevance: vectors.map { similarity(query, $0) })
        return choice.order(limit).map { candidates[$0] }
    }

    private func position(of name: String) throws -> Int {
        guard let position = configuration.position(of: name), snapshot.view.has(position) else {
            throw StoreError.wrongInput("Not existing vector name error: \(name)")
        }
        return position
    }

    /// Ready to be compared.
    private func values(of target: VectorTarget, _ position: Int, _ name: String) throws -> VectorValues {
        var placed = PlacedVector(position: position, values: try given(target, position, name))
        if let problem = VectorFitter(configuration: configuration).fit(&placed) {
            throw StoreError.wrongInput(problem)
        }
        return placed.values
    }

    private func given(_ target: VectorTarget, _ position: Int, _ name: String) throws -> VectorValues {
        switch target {
        case .values(let values): return values
        case .point(let id):
            guard let slot = located[id] else { throw StoreError.pointNotFound(id) }
            guard let column = snapshot.view.columns.first(where: { $0.position == position }),
                snapshot.present[position][slot]
            else { throw StoreError.wrongInput("Vector with name \(name) for point with id \(id) not found") }
            return try snapshot.view.values(column, of: slot)
        }
    }
}

extension Snapshot {
    /// The slots of the smallest ids that are not below `from`, ascending.
    func smallestIDs(in mask: Bitmap, from: PointID, limit: Int) -> ArraySlice<UInt32> {
        var slots = [UInt32](repeating: 0, count: min(limit, liveCount + 1))
        let blocks: [UnsafePointer<vector_slot>?] = view.blocks.map { $0.slots }
        var first = from.slot
        let found = withExtendedLifetime(self) {
            vector_smallest_ids(
                blocks, UInt32(Block.shift), UInt32(count), mask.words, &first, &slots, UInt32(slots.count))
        }
        return slots.prefix(Int(found))
    }
}

extension ContextPair {
    var both: [VectorTarget] { [positive, negative] }
}

extension Query {
    /// The points that it mentions: it does not find them.
    var ids: [PointID] {
        let targets: [VectorTarget] =
            switch self {
            case .nearest(let target), .diverse(let target, _, _): [target]
            case .recommend(let positive, let negative, _): positive + negative
            case .discover(let target, let context): [target] + context.flatMap(\.both)
            case .feedback(let feedback): feedback.examples
            case .context(let pairs): pairs.flatMap(\.both)
            case .fusion, .formula, .orderBy, .sample: []
            }
        return targets.compactMap { if case .point(let id) = $0 { id } else { nil } }
    }
}

extension Query {
    /// The points that a formula's conditions name.
    fileprivate var conditionIDs: Set<PointID> {
        guard case .formula(let formula) = self else { return [] }
        return formula.conditions.reduce(into: []) { $0.formUnion($1.ids) }
    }
}

extension [CollectionQuery.Hit] {
    /// Of equals the one that came first: `sort` alone promises no order.
    func bestFirst() -> [CollectionQuery.Hit] {
        enumerated().sorted { ($0.element.score, $1.offset) > ($1.element.score, $0.offset) }.map(\.element)
    }
}

extension QueryRequest {
    /// All that it and its filters mention: the caller looks up where they are.
    var ids: Set<PointID> {
        var ids = Set(query?.ids ?? []).union(filter?.ids ?? []).union(idfCorpus?.ids ?? [])
        ids.formUnion(query?.conditionIDs ?? [])
        for prefetch in prefetch { prefetch.collect(&ids) }
        return ids
    }
}

extension Prefetch {
    fileprivate func reaching(further count: Int) -> Prefetch {
        var prefetch = self
        let (limit, overflow) = limit.addingReportingOverflow(count)
        prefetch.limit = overflow ? .max : limit
        prefetch.prefetch = self.prefetch.map { $0.reaching(further: count) }
        return prefetch
    }

    fileprivate func collect(_ ids: inout Set<PointID>) {
        ids.formUnion(query?.ids ?? [])
        ids.formUnion(query?.conditionIDs ?? [])
        ids.formUnion(filter?.ids ?? [])
        ids.formUnion(idfCorpus?.ids ?? [])
        for prefetch in prefetch { prefetch.collect(&ids) }
    }
}

extension Filter {
    /// Both, field by field as Qdrant merges them: the `should` of one is an alternative to the other's.
    static func merging(_ outer: Filter?, _ inner: Filter?) -> Filter {
        guard let outer, let inner else { return outer ?? inner ?? Filter() }
        var merged = Filter(
            must: outer.must + inner.must, mustNot: outer.mustNot + inner.mustNot, should: outer.should + inner.should)
        merged.minShould = outer.minShould ?? inner.minShould
        if let first = outer.minShould, let second = inner.minShould {
            merged.minShould = (first.conditions + second.conditions, max(first.count, second.count))
        }
        return merged
    }
}
