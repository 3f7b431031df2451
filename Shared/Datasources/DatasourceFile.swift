import Crypto
import Foundation
import Postgres
import ServiceRuntime
import WireProtocol

/// The uploaded file of a file source: kept in PostgreSQL in chunks, so that every replica can read it.
package struct DatasourceFile: Sendable, Equatable {
    /// Another upload is another id.
    package var id: String
    package var name: String
    /// Units: bytes.
    package var size: Int
    package var sha256: String
    package var createdAt: Timestamp

    /// All chunks but the last have this size.
    package static let chunkBytes = 256 << 10

    package var json: JSONObject {
        JSONObject([
            ("name", .string(name)), ("size", JSONValue(size)), ("sha256", .string(sha256)),
            ("uploadedAt", .string(createdAt.text)),
        ])
    }
}

extension DatasourceStore {
    /// Stores what `parts` gives (of whatever sizes) as the datasource's file, in place of the one it had, which stays readable
    /// until the new one is complete.
    /// Throws: `DatasourcesError.fileTooLarge`, `.notFound`.
    package func storeFile<Parts: AsyncSequence>(
        datasourceID: String, name: String, limit: Int, _ parts: Parts
    ) async throws -> DatasourceFile where Parts.Element == [UInt8] {
        let id = UUID().uuidString.lowercased()
        var digest = IncrementalSHA256()
        var pending: [UInt8] = []
        var (number, size) = (0, 0)
        do {
            for try await part in parts {
                size += part.count
                guard size <= limit else { throw DatasourcesError.fileTooLarge(limit: limit) }
                pending += part
                while pending.count >= DatasourceFile.chunkBytes {
                    let chunk = Array(pending.prefix(DatasourceFile.chunkBytes))
                    pending.removeFirst(DatasourceFile.chunkBytes)
                    digest.update(chunk)
                    try await storeChunk(id, number, chunk)
                    number += 1
                }
            }
            if !pending.isEmpty {
                digest.update(pending)
                try await storeChunk(id, number, pending)
            }
            let sum = digest.finish()
            try await pool.transaction { [size] transaction in
                let old = try await transaction.query(
                    "DELETE FROM datasource_files WHERE datasource_id = $1 RETURNING id", [.uuid(datasourceID)])
                for row in old {
                    _ = try await transaction.query(
                        "DELETE FROM datasource_file_chunks WHERE file_id = $1", [.uuid(row.text(0) ?? "")])
                }
                _ = try await transaction.query(
                    "INSERT INTO datasource_files (id, datasource_id, name, size, sha256) VALUES ($1, $2, $3, $4, $5)",
                    [.uuid(id), .uuid(datasourceID), .text(name), .int(Int64(size)), .bytes(sum)])
            }
        } catch {
            _ = try? await pool.query("DELETE FROM datasource_file_chunks WHERE file_id = $1", [.uuid(id)])
            if case PostgresError.server(sqlState: "23503", message: _) = error {
                throw DatasourcesError.notFound(id: datasourceID)
            }
            throw error
        }
        // Chunks of uploads that a crash cut off.
        _ = try await pool.query(
            """
            DELETE FROM datasource_file_chunks c WHERE stored_at < now() - interval '1 day'
            AND NOT EXISTS (SELECT FROM datasource_files f WHERE f.id = c.file_id)
            """)
        guard let file = try await file(of: datasourceID) else { throw DatasourcesError.fileGone }
        return file
    }

    package func file(of datasourceID: String) async throws -> DatasourceFile? {
        let rows = try await pool.query(
            """
            SELECT id, name, size, sha256, (extract(epoch FROM created_at) * 1000)::bigint
            FROM datasource_files WHERE datasource_id = $1
            """, [.uuid(datasourceID)])
        return rows.first.map { row in
            DatasourceFile(
                id: row.text(0) ?? "", name: row.text(1) ?? "", size: Int(row.int(2) ?? 0),
                sha256: Hex.encode(row.bytes(3) ?? []),
                createdAt: Timestamp(milliseconds: row.int(4) ?? 0))
        }
    }

    /// Chunks `first`, `first + 1`, ... in one buffer; empty after the end.
    /// Throws: `DatasourcesError.fileGone` where the file was replaced meanwhile.
    package func chunks(of file: DatasourceFile, from first: Int, count: Int) async throws -> [UInt8] {
        let last = min(first + count, (file.size + DatasourceFile.chunkBytes - 1) / DatasourceFile.chunkBytes)
        guard first < last else { return [] }
        let rows = try await pool.query(
            "SELECT bytes FROM datasource_file_chunks WHERE file_id = $1 AND number >= $2 AND number < $3 ORDER BY number",
            [.uuid(file.id), .int(Int64(first)), .int(Int64(last))])
        guard rows.count == last - first else { throw DatasourcesError.fileGone }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(rows.count * DatasourceFile.chunkBytes)
        for row in rows { bytes += row.bytes(0) ?? [] }
        return bytes
    }

    private func storeChunk(_ id: String, _ number: Int, _ bytes: [UInt8]) async throws {
        _ = try await pool.query(
            "INSERT INTO datasource_file_chunks (file_id, number, bytes) VALUES ($1, $2, $3)",
            [.uuid(id), .int(Int64(number)), .bytes(bytes)])
    }
}
