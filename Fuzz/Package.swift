// swift-tools-version: 6.1
//
// A package of its own, so that what is fuzzed can be compiled with libFuzzer's instrumentation while everything else
// is not. `Sources/` holds symbolic links to the modules under test. `./run` builds and runs the lot.
//
// To fuzz another module: link it into Sources, add it to `modules`, and its target to `fuzzers`.
import PackageDescription

let instrumented: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    // Testable, for the parts of a module that a peer's end is made of.
    .unsafeFlags(["-sanitize=fuzzer", "-parse-as-library", "-enable-testing"]),
]
let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let structuredFields: Target.Dependency = .product(
    name: "RawStructuredFieldValues", package: "swift-http-structured-headers")
let crypto: [Target.Dependency] = [
    .product(name: "Crypto", package: "swift-crypto"), .product(name: "CryptoExtras", package: "swift-crypto"),
]

/// Modules under test, with what they import.
let modules: [(name: String, imports: [Target.Dependency])] = [
    (name: "Admission", imports: [nioCore, .product(name: "DequeModule", package: "swift-collections")]),
    (name: "TLSWire", imports: [nioCore]),
    (name: "KeyProtocol", imports: ["TLSWire", nioCore]),
    (name: "TLSCrypto", imports: [.product(name: "NIOSSL", package: "swift-nio-ssl")]),
    (name: "RecordLayer", imports: ["TLSCrypto", "TLSWire", nioCore]),
    (
        name: "TLSEngine",
        imports: ["RecordLayer", "TLSCrypto", "TLSWire", nioCore, .product(name: "NIOSSL", package: "swift-nio-ssl")]
    ),
    (name: "HTTPCaching", imports: ["HTTPFields", nioCore, structuredFields]),
    (
        name: "FleetBus",
        imports: [
            "Hexadecimal", "KeyProtocol", nioCore, crypto[0],
            .product(name: "DequeModule", package: "swift-collections"),
        ]
    ),
    (name: "Hexadecimal", imports: []),
    (name: "HTTPFields", imports: [nioCore]),
    (name: "HTTP2Wire", imports: ["HTTPFields", nioCore]),
    (name: "HTTPWire", imports: ["HTTPFields", nioCore]),
    (name: "NativeHandshake", imports: ["TLSWire", nioCore] + crypto),
    (name: "StreamWire", imports: [nioCore, .product(name: "DequeModule", package: "swift-collections")]),
]

/// Fuzz targets (Targets/<name>, with seeds in Corpus/<name without Fuzz>) and the modules that they exercise.
let fuzzers: [(name: String, modules: [Target.Dependency])] = [
    (name: "FuzzCacheFields", modules: ["HTTPCaching", "HTTPFields", structuredFields]),
    (name: "FuzzClientHello", modules: ["TLSWire"]),
    (name: "FuzzExportedSession", modules: ["RecordLayer"]),
    (name: "FuzzFleetBus", modules: ["FleetBus", crypto[0]]),
    (name: "FuzzHandoffMessages", modules: ["KeyProtocol"]),
    (name: "FuzzHTTP2Wire", modules: ["HTTPFields", "HTTP2Wire"]),
    (name: "FuzzHTTPWire", modules: ["HTTPFields", "HTTPWire"]),
    (name: "FuzzKeyPacket", modules: ["KeyProtocol", "TLSWire"]),
    (name: "FuzzNativeClient", modules: ["NativeHandshake", "TLSWire", crypto[0]]),
    (name: "FuzzNativeOrigin", modules: ["NativeHandshake", "TLSWire", crypto[0]]),
    (name: "FuzzProxyProtocol", modules: ["Admission"]),
    (name: "FuzzRecordLayer", modules: ["RecordLayer", "TLSWire"]),
    (name: "FuzzServerHandshake", modules: ["RecordLayer", "TLSEngine", "TLSWire", crypto[0]]),
    (name: "FuzzStreamLink", modules: ["StreamWire"]),
]

let package = Package(
    name: "latchstring-fuzz",
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        // As in the package itself (docs/tls-engine.md).
        .package(url: "https://github.com/apple/swift-nio-ssl", exact: "2.37.6"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-structured-headers", from: "1.7.0"),
    ],
    targets: [
        .target(name: "CLibFuzzer"),
        .target(name: "FuzzDriver", dependencies: ["CLibFuzzer"], swiftSettings: [.swiftLanguageMode(.v6)]),
    ]
        + modules.map { module in
            .target(name: module.name, dependencies: module.imports, swiftSettings: instrumented)
        }
        + fuzzers.map { fuzzer in
            .executableTarget(
                name: fuzzer.name,
                dependencies: fuzzer.modules + ["FuzzDriver", nioCore],
                path: "Targets/\(fuzzer.name)",
                swiftSettings: instrumented,
                // gold fails on libFuzzer.
                linkerSettings: [.unsafeFlags(["-sanitize=fuzzer", "-use-ld=lld"])])
        }
)
