import CVectorKernel

/// The best points of a scan so far: by their scores, of equals by their ids.
struct BestPoints: ~Copyable {
    private var heap: vector_heap
    // Its records say which ids points have.
    private let snapshot: Snapshot

    init(_ wanted: Int, of snapshot: Snapshot) {
        self.snapshot = snapshot
        let blocks: [UnsafePointer<vector_slot>?] = snapshot.view.blocks.map { $0.slots }
        heap = vector_heap_create(UInt32(wanted), blocks, blocks.count, UInt32(Block.shift))
    }
    deinit {
        var heap = heap
        vector_heap_free(&heap)
    }

    mutating func offer(_ score: Float, _ slot: UInt32) { vector_heap_push(&heap, score, slot) }
    /// For a kernel that offers points itself.
    mutating func withHeap(_ body: (UnsafeMutablePointer<vector_heap>) -> Void) { body(&heap) }

    /// Best first.
    consuming func sorted() -> [vector_candidate] {
        vector_heap_sort(&heap)
        return Array(UnsafeBufferPointer(start: heap.items, count: Int(heap.count)))
    }

    /// Of what several scans found.
    static func merged(_ found: [[vector_candidate]], _ wanted: Int, of snapshot: Snapshot) -> [vector_candidate] {
        if found.count == 1 { return found[0] }
        var best = BestPoints(wanted, of: snapshot)
        for candidate in found.joined() { best.offer(candidate.score, candidate.slot) }
        return best.sorted()
    }
}
