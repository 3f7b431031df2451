/// A slot to append: new content, or another slot's.
struct NewSlot {
    enum VectorSource {
        case absent
        case values(VectorValues)
        case copy(of: SegmentView, slot: Int)
    }
    enum PayloadSource {
        case bytes([UInt8])
        case copy(of: SegmentView, slot: Int)
    }
    var id: PointID
    var version: UInt64
    /// By position.
    var vectors: [VectorSource]
    var payload: PayloadSource
}
