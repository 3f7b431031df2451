// swift-tools-version: 6.2
import PackageDescription

// The house, layer by layer (README.md). A target may use what stands in a layer below it, or beside it
// and above it in this list; the build refuses any other import (`--explicit-target-dependency-import-check error`).

let system: [Module] = [
    .system("CPostgres", pkgConfig: "libpq", apt: "libpq-dev"),
    .system("CHiredis", pkgConfig: "hiredis", apt: "libhiredis-dev"),
    .system("CCurl", pkgConfig: "libcurl", apt: "libcurl4-openssl-dev"),
    .system("CZlib", pkgConfig: "zlib", apt: "zlib1g-dev"),
    .system("COpenSSL", pkgConfig: "libcrypto", apt: "libssl-dev"),
    .system("COpenBLAS", pkgConfig: "openblas", apt: "libopenblas-dev"),
    .system("CPCRE2", pkgConfig: "libpcre2-8", apt: "libpcre2-dev"),
    .system("CSnowball", apt: "libstemmer-dev"),
    .c("CMalloc"),
    .c("CEpoll"),
    .c("CSimdjson", links: "simdjson"),
    .c("CVectorKernel"),
    .c("CTransformerKernel"),
]

let foundations: [Module] = [
    .library("WireProtocol"),
    .library("Resilience"),
    .library("ServiceRuntime", uses: ["CMalloc", "WireProtocol"]),
]

let adapters: [Module] = [
    .library("FastJSON", uses: ["CSimdjson", "WireProtocol"]),
    .library("Crypto", uses: ["COpenSSL"]),
    .library("HTTPServer", uses: ["CEpoll", "FastJSON", "ServiceRuntime", "WireProtocol"]),
    .library("HTTPClient", uses: ["CCurl", "Resilience", "ServiceRuntime", "WireProtocol"]),
    .library("Redis", uses: ["CHiredis", "Resilience", "ServiceRuntime"]),
    .library("Postgres", uses: ["CPostgres", "Resilience", "ServiceRuntime", "WireProtocol"]),
]

let domain: [Module] = [
    .library("WorkQueue", uses: ["FastJSON", "Redis", "Resilience", "ServiceRuntime", "WireProtocol"]),
    .library("SyncJobs", uses: ["Crypto", "Postgres", "ServiceRuntime", "WireProtocol"], resources: ["Migrations"]),
    .library(
        "Datasources", uses: ["Crypto", "FastJSON", "Postgres", "ServiceRuntime", "WireProtocol"],
        resources: ["Migrations"]),
    .library("Lexical", uses: ["CSnowball", "FastJSON", "WireProtocol"]),
    .library(
        "ServiceClients",
        uses: ["FastJSON", "HTTPClient", "HTTPServer", "Resilience", "ServiceRuntime", "WireProtocol"]),
]

let everyService = [
    "FastJSON", "HTTPClient", "HTTPServer", "Resilience", "ServiceClients", "ServiceRuntime", "WireProtocol",
]
let services: [Module] = [
    .service(
        "Orchestrator", uses: ["Crypto", "Datasources", "Lexical", "Postgres", "Redis", "SyncJobs", "WorkQueue"],
        resources: ["Migrations", "OpenAPI"]),
    .service(
        "DataHarvester",
        uses: ["CPCRE2", "CZlib", "Crypto", "Datasources", "Postgres", "Redis", "SyncJobs", "WorkQueue"]),
    .service("DataProcessor", uses: ["CPCRE2", "Crypto", "Redis"]),
    .service("Embedder", uses: ["COpenBLAS", "CTransformerKernel", "Crypto", "Redis", "WorkQueue"]),
    .service(
        "Indexer",
        uses: [
            "CSimdjson", "CSnowball", "CVectorKernel", "CZlib", "Crypto", "Datasources", "Lexical", "Postgres", "Redis",
            "SyncJobs", "WorkQueue",
        ]),
    .service("AIStatus", uses: ["Postgres", "Redis"]),
]

let tests: [Module] =
    [
        .library("TestServers", in: "Tests"), .tests(of: "TestServers"),
        .tests(of: "WireProtocol"), .tests(of: "Resilience"), .tests(of: "ServiceRuntime", with: ["WireProtocol"]),
        .tests(of: "FastJSON", with: ["WireProtocol"]), .tests(of: "Crypto"),
        .tests(of: "HTTPServer", with: ["FastJSON", "HTTPClient", "ServiceRuntime", "WireProtocol"]),
        .tests(of: "HTTPClient", with: ["HTTPServer", "Resilience", "ServiceRuntime", "WireProtocol"]),
        .tests(of: "Redis", with: ["Resilience", "ServiceRuntime", "TestServers"]),
        .tests(of: "Postgres", with: ["Resilience", "ServiceRuntime", "TestServers"]),
        .tests(of: "WorkQueue", with: ["Redis", "ServiceRuntime", "TestServers", "WireProtocol"]),
        .tests(of: "SyncJobs", with: ["Crypto", "Postgres", "ServiceRuntime", "TestServers", "WireProtocol"]),
        .tests(
            of: "Datasources",
            with: ["Crypto", "FastJSON", "Postgres", "ServiceRuntime", "TestServers", "WireProtocol"]),
        .tests(of: "Lexical", with: ["FastJSON", "WireProtocol"]),
        .bench("Bench", uses: ["Redis", "ServiceRuntime", "WireProtocol", "WorkQueue"]),
        .tests(
            of: "ServiceClients", with: ["HTTPClient", "HTTPServer", "Resilience", "ServiceRuntime", "WireProtocol"]),
    ] + services.map { .tests(of: $0.name, with: $0.uses + ["TestServers"]) }

// MARK: - How the table becomes a package

/// One row of the table.
struct Module {
    enum Kind { case system(pkgConfig: String?, apt: String), c(links: String?), library, service, tests }
    var name: String
    var kind: Kind
    var uses: [String] = []
    var folder = "Shared"
    var resources: [String] = []

    /// Without `pkgConfig` the module map names the library.
    static func system(_ name: String, pkgConfig: String? = nil, apt: String) -> Module {
        Module(name: name, kind: .system(pkgConfig: pkgConfig, apt: apt))
    }
    static func c(_ name: String, links: String? = nil) -> Module { Module(name: name, kind: .c(links: links)) }
    static func library(
        _ name: String, uses: [String] = [], resources: [String] = [], in folder: String = "Shared"
    ) -> Module {
        Module(name: name, kind: .library, uses: uses, folder: folder, resources: resources)
    }
    static func service(_ name: String, uses: [String], resources: [String] = []) -> Module {
        Module(name: name, kind: .service, uses: everyService + uses, folder: "Services", resources: resources)
    }
    /// A program of `make bench`.
    static func bench(_ name: String, uses: [String]) -> Module {
        Module(name: name, kind: .service, uses: uses, folder: "Tests")
    }
    static func tests(of name: String, with others: [String] = []) -> Module {
        Module(name: name + "Tests", kind: .tests, uses: [name] + others, folder: "Tests")
    }

    var path: String { "\(folder)/\(name)" }
    var dependencies: [Target.Dependency] { uses.map { .byName(name: $0) } }
    static let strict: [SwiftSetting] = [.treatAllWarnings(as: .error), .enableUpcomingFeature("ExistentialAny")]

    var target: Target {
        switch kind {
        case .system(let pkgConfig, let apt):
            return .systemLibrary(name: name, path: path, pkgConfig: pkgConfig, providers: [.apt([apt])])
        case .c(let links):
            let fast: [String] = ["-O2"]  // C is -O0 in debug builds otherwise: ten times slower tests
            return .target(
                name: name, path: path, cSettings: [.unsafeFlags(fast, .when(configuration: .debug))],
                cxxSettings: [.unsafeFlags(fast, .when(configuration: .debug))],
                linkerSettings: links.map { [.linkedLibrary($0)] } ?? [])
        case .library:
            return .target(
                name: name, dependencies: dependencies, path: path, resources: resources.map { .embedInCode($0) },
                swiftSettings: Self.strict)
        case .service:
            return .executableTarget(
                name: name, dependencies: dependencies, path: path, resources: resources.map { .embedInCode($0) },
                swiftSettings: Self.strict)
        case .tests:
            return .testTarget(name: name, dependencies: dependencies, path: path, swiftSettings: Self.strict)
        }
    }
}

/// `TEST_MODULE=Redis swift test` builds that module, its tests and what they use, and nothing else.
func closure(of roots: [String], in modules: [Module]) -> [Module] {
    var wanted = Set<String>()
    var pending = roots
    while let name = pending.popLast() {
        guard wanted.insert(name).inserted else { continue }
        pending += modules.first { $0.name == name }?.uses ?? []
    }
    return modules.filter { wanted.contains($0.name) }
}

var modules = system + foundations + adapters + domain + services + tests
if let only = Context.environment["TEST_MODULE"] {
    modules = closure(of: only.split(separator: ",").flatMap { [String($0), $0 + "Tests"] }, in: modules)
}

let executables = [
    "Orchestrator": "orchestrator", "DataHarvester": "data-harvester", "DataProcessor": "data-processor",
    "Embedder": "embedder", "Indexer": "indexer", "AIStatus": "ai-status",
    "Bench": "queue-bench",
]

let package = Package(
    name: "semantic-ingestion",
    products: modules.compactMap { module in
        executables[module.name].map { .executable(name: $0, targets: [module.name]) }
    },
    targets: modules.map(\.target),
    swiftLanguageModes: [.v6],
    cxxLanguageStandard: .cxx17
)
