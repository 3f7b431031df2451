/// The smallest elements of many, in order, without keeping the rest.
struct Smallest<Element> {
    private let limit: Int
    private let isBefore: (Element, Element) -> Bool
    private var kept: [Element] = []
    /// The last one that is in for sure; what is not before it stays out.
    private var last: Element?

    init(_ limit: Int, by isBefore: @escaping (Element, Element) -> Bool) {
        self.limit = limit
        self.isBefore = isBefore
    }

    mutating func insert(_ element: Element) {
        if limit == 0 { return }
        if let last, !isBefore(element, last) { return }
        kept.append(element)
        if kept.count / 2 >= max(limit, 128) { cut() }
    }

    private mutating func cut() {
        kept.sort(by: isBefore)
        if limit > 0, kept.count >= limit {
            kept.removeLast(kept.count - limit)
            last = kept[limit - 1]
        }
    }

    var sorted: [Element] {
        mutating get {
            cut()
            return kept
        }
    }
}
