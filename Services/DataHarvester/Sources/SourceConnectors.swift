import Datasources
import Foundation
import WireProtocol

/// What a connector needs to know of a datasource: the whole connection, secrets included. Never logged, never answered.
struct SourceDescription: Sendable {
    var type: Datasource.Kind
    var connection: JSONObject
    var queryTemplate: String?
    /// Empty key: not chosen yet.
    var mapping: FieldMapping
    /// Whose uploaded file it is.
    var datasourceID: String?
}

/// Makes connectors with this process's settings.
struct SourceConnectors: Sendable {
    struct Settings: Sendable {
        /// The mounted folder; `nil`: none.
        var folder: String?
        var allowSuperuser = false
        var statementTimeout: Duration = .seconds(60)
        var overlap: Duration = .seconds(300)
        var policy = NetworkPolicy()
        var csv = CSVReader.Limits()
    }
    let settings: Settings
    let datasources: DatasourceStore

    func connector(for source: SourceDescription) async throws -> any Connector {
        switch source.type {
        case .postgresql:
            return PostgreSQLConnector(
                .init(
                    connection: source.connection, queryTemplate: source.queryTemplate, key: source.mapping.key,
                    updatedAt: source.mapping.updatedAt, allowSuperuser: settings.allowSuperuser,
                    statementTimeout: settings.statementTimeout, policy: settings.policy, overlap: settings.overlap))
        case .csv:
            return CSVConnector(
                file: try await file(of: source), settings: source.connection, key: source.mapping.key,
                limits: settings.csv)
        case .mssql, .mysql, .api, .xlsx, .jsonl, .odbc:
            throw SourceError(
                .unsupported, "sources of type \(source.type.rawValue) cannot be read by this service yet",
                field: "type")
        }
    }

    func connector(for datasource: Datasource) async throws -> any Connector {
        try await connector(for: try description(of: datasource))
    }

    func description(of datasource: Datasource) throws -> SourceDescription {
        SourceDescription(
            type: datasource.type, connection: try datasources.connection(of: datasource),
            queryTemplate: datasource.queryTemplate, mapping: datasource.mapping, datasourceID: datasource.id)
    }

    /// The file on the mounted folder where `path` names one, else the uploaded one.
    private func file(of source: SourceDescription) async throws -> any FileBytes {
        if let path = source.connection["path"]?.string, !path.isEmpty {
            guard let folder = settings.folder else {
                throw SourceError(
                    .fileNotFound, "no folder is mounted: FILES_DIR is not set", field: "connectionConfig.path")
            }
            return try MountedFile(path: path, folder: folder)
        }
        guard let id = source.datasourceID else {
            throw SourceError(
                .fileNotFound, "name a file with path, or create the datasource and upload one",
                field: "connectionConfig.path")
        }
        return try await UploadedFile(store: datasources, datasourceID: id)
    }
}
