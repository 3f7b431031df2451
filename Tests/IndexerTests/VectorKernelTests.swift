import CVectorKernel
import Testing

@testable import Indexer

@Suite struct VectorKernelTests {
    @Test(arguments: ["portable", "avx2", "avx512vnni"], [1, 3, 64, 65, 384, 767])
    func everyKernelComputesWhatTheDefinitionSays(kernel: String, size: Int) {
        let usual = String(cString: vector_kernel_name())
        guard vector_kernel_use(kernel) == 1 else { return }
        defer { _ = vector_kernel_use(usual) }
        var numbers = Numbers(UInt64(size))
        let (a, b) = (numbers.vector(size), numbers.vector(size))
        let dot = zip(a, b).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
        let euclid = zip(a, b).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
        let manhattan = zip(a, b).reduce(0.0) { $0 + Double(abs($1.0 - $1.1)) }
        #expect(abs(Double(vector_dot(a, b, size)) - dot) < 1e-4)
        #expect(abs(Double(vector_euclid_squared(a, b, size)) - euclid) < 1e-3)
        #expect(abs(Double(vector_manhattan(a, b, size)) - manhattan) < 1e-3)

        var codes = [UInt8](repeating: 0, count: vector_code_stride(size))
        let scale = vector_quantise(b, size, &codes)
        let query = vector_query_create(a, size)
        defer { vector_query_free(query) }
        let most = a.map(abs).max() ?? 0
        let integers = a.map { Int(($0 * (127 / most)).rounded(.toNearestOrEven)) }
        let expected = zip(integers, codes).reduce(0) { $0 + $1.0 * (Int($1.1) - 128) }
        #expect(Int(vector_code_dot(query, codes)) == expected)
        #expect(zip(b, codes).allSatisfy { abs($0 - Float(Int($1) - 128) * scale) <= scale * 0.51 })
    }

    @Test func aZeroVectorQuantisesToZeroAndStaysAsItIs() {
        var zero = [Float](repeating: 0, count: 8)
        var codes = [UInt8](repeating: 7, count: 64)
        #expect(vector_quantise(zero, 8, &codes) == 0)
        #expect(codes.allSatisfy { $0 == 128 })
        vector_normalise(&zero, 8)
        #expect(zero.allSatisfy { $0 == 0 })
    }

    @Test func normalisesNumbersWhoseSquaresLeaveTheRange() {
        var big: [Float] = [3e30, 4e30]
        vector_normalise(&big, 2)
        #expect(abs(big[0] - 0.6) < 1e-6 && abs(big[1] - 0.8) < 1e-6)
        var small: [Float] = [3e-30, 4e-30]
        vector_normalise(&small, 2)
        #expect(abs(small[0] - 0.6) < 1e-6 && abs(small[1] - 0.8) < 1e-6)
    }

    @Test func aVectorOfLengthOneIsNotChangedAgain() {
        var numbers = Numbers(3)
        for size in [2, 32, 384, 1536] {
            for _ in 0..<50 {
                var once = numbers.vector(size)
                vector_normalise(&once, size)
                var twice = once
                vector_normalise(&twice, size)
                #expect(once == twice)
            }
        }
    }

    @Test(arguments: [100, 40, 5, 1]) func aScanFindsTheBestOfTheMaskedRows(percent: Int) {
        var numbers = Numbers(9)
        let (rows, size) = (1000, 48)
        let vectors = (0..<rows).flatMap { _ in numbers.vector(size) }
        var mask = Bitmap(count: rows)
        for row in 0..<rows where Int.random(in: 0..<100, using: &numbers) < percent { mask[row] = true }
        let query = numbers.vector(size)
        for metric in [VECTOR_DOT, VECTOR_EUCLID, VECTOR_MANHATTAN] {
            let records = UnsafeMutablePointer<vector_slot>.allocate(capacity: rows + 500)
            for slot in 0..<(rows + 500) { records[slot] = PointID(number: UInt64(slot)).slot }
            var heap = vector_heap_create(10, [UnsafePointer(records)], 1, 31)
            defer {
                vector_heap_free(&heap)
                records.deallocate()
            }
            vector_scan_floats(metric, query, size, vectors, mask.words, UInt32(rows), 500, &heap)
            vector_heap_sort(&heap)
            let expected = (0..<rows).filter { mask[$0] }.map { row in
                (
                    Array(vectors[(row * size)..<((row + 1) * size)]).withUnsafeBufferPointer {
                        vector_score(metric, query, $0.baseAddress, size)
                    }, row + 500
                )
            }.sorted { ($0.0, -$0.1) > ($1.0, -$1.1) }.prefix(10)
            let found = UnsafeBufferPointer(start: heap.items, count: Int(heap.count)).map { Int($0.slot) }
            #expect(found == expected.map(\.1))
        }
    }

    @Test func whatIsNoNumberHidesNothingBetter() {
        let scores: [Float] = [.nan, 1, 3, .nan, 2]
        let records = scores.indices.map { PointID(number: UInt64($0)).slot }
        records.withUnsafeBufferPointer { records in
            var heap = vector_heap_create(2, [records.baseAddress], 1, 31)
            defer { vector_heap_free(&heap) }
            for (slot, score) in scores.enumerated() { vector_heap_push(&heap, score, UInt32(slot)) }
            vector_heap_sort(&heap)
            #expect(UnsafeBufferPointer(start: heap.items, count: Int(heap.count)).map(\.slot) == [2, 4])
        }
    }

    @Test func crc32cIsTheStandardOne() {
        let digits = Array("123456789".utf8)
        #expect(vector_crc32c(0, digits, digits.count) == 0xE306_9283)
        #expect(vector_crc32c(vector_crc32c(0, digits, 4), Array(digits[4...]), 5) == 0xE306_9283)
    }
}
