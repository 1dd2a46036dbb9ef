// swift-tools-version: 6.2
//
// Layers, lowest first. Imports point downwards only:
//
//   crypto  TLSCrypto                                 AEAD, hashes, HKDF and ECDSA of BoringSSL
//   pure    ACME, Admission, AuditChain, TLSWire, KeyProtocol, RecordLayer, NativeHandshake, HTTPFields, HTTPWire,
//           HTTP2Wire, HTTPForwarding, HTTPCaching, EdgeModel, FleetBus, HSMWire, StreamWire
//                                                     bytes and decisions; no sockets, clocks, files or logging
//   engine  TLSEngine                                 handshakes on BoringSSL, without IO
//   ground  SecretFiles, CAARecords, Telemetry        files that hold secrets; who may issue for a name, by DNS; logs, metrics
//           Stapling                                  OCSP responses from files
//           ACMEClient, HSMWorker                     certificates from an authority; the process with a PKCS #11 module
//   links   Channels, PeerLink, NativeChannel         accepting; mutual TLS links to key holders, failover; native streams
//           FleetLink                                 the bus of a fleet: an edge that follows, a desk that orders
//   stores  CacheStorage                              responses in memory and on disk
//   parties EdgeHTTP, EdgeRelay, EdgeTLS, Edge, KeyHolder, NativeClient
//                                                     the three parties; HTTP, TLS and passing on at the edge stand for
//                                                     themselves
//           HSMKeys                                   a key holder's keys on tokens
//   outside Settings, Admin, PrivateAuthority         YAML in, diagnostics out; the admin port and health; certificates
//           Diagnosis, DemoKit                        what is wrong with a configuration or a connection; the demo
//   command latchstring                               one file per subcommand
import PackageDescription

// What only the program needs. A package that takes a library from here, and no trait, does not have these in its graph: neither the exact
// version of swift-nio-ssl, nor anything else of them (SE-0450).
let program: TargetDependencyCondition? = .when(traits: ["Program"])

let nio: [Target.Dependency] = [
    .product(name: "NIOCore", package: "swift-nio"),
    .product(name: "NIOPosix", package: "swift-nio"),
]
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl", condition: program)
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let nioHelpers: Target.Dependency = .product(name: "NIOConcurrencyHelpers", package: "swift-nio")
let nioEmbedded: Target.Dependency = .product(name: "NIOEmbedded", package: "swift-nio")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let cryptoExtras: Target.Dependency = .product(name: "CryptoExtras", package: "swift-crypto")
let x509: Target.Dependency = .product(name: "X509", package: "swift-certificates")
let asn1: Target.Dependency = .product(name: "SwiftASN1", package: "swift-asn1")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log", condition: program)
let metrics: Target.Dependency = .product(name: "Metrics", package: "swift-metrics", condition: program)
let coreMetrics: Target.Dependency = .product(name: "CoreMetrics", package: "swift-metrics", condition: program)
let nioTLS: Target.Dependency = .product(name: "NIOTLS", package: "swift-nio")
let atomics: Target.Dependency = .product(name: "Atomics", package: "swift-atomics", condition: program)
let collections: Target.Dependency = .product(name: "DequeModule", package: "swift-collections")
let nioHTTP2: Target.Dependency = .product(name: "NIOHTTP2", package: "swift-nio-http2", condition: program)
let nioHPACK: Target.Dependency = .product(name: "NIOHPACK", package: "swift-nio-http2", condition: program)
let structuredFields: Target.Dependency = .product(
    name: "RawStructuredFieldValues", package: "swift-http-structured-headers")
let sqlite: Target.Dependency = .product(name: "GRDB", package: "GRDB.swift", condition: program)
let lifecycle: Target.Dependency = .product(
    name: "ServiceLifecycle", package: "swift-service-lifecycle", condition: program)

let argumentParser: Target.Dependency = .product(
    name: "ArgumentParser", package: "swift-argument-parser", condition: program)
let yams: Target.Dependency = .product(name: "Yams", package: "Yams", condition: program)

let strict: [SwiftSetting] =
    [
        .swiftLanguageMode(.v6),
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InternalImportsByDefault"),
    ]
    // A warning is an error where every change is judged, and only a warning while one works.
    + (Context.environment["CI"] == nil ? [] : [.treatAllWarnings(as: .error)])

/// What the program says that it was built from: scripts/build-release tells by the environment. Hexadecimal digits, and `+`.
let commit = (Context.environment["LATCHSTRING_COMMIT"] ?? "").filter { $0.isHexDigit || $0 == "+" }

let package = Package(
    name: "latchstring",
    products: [
        .executable(name: "latchstring", targets: ["latchstring"]),
        // Libraries for other packages, which say `traits: []` (docs/libraries.md).
        .library(name: "NativeClient", targets: ["NativeClient"]),
        .library(name: "HTTPCaching", targets: ["HTTPCaching"]),
    ],
    traits: [
        .default(enabledTraits: ["Program"]),
        .trait(name: "Program", description: "The program, and what only it needs; libraries do without."),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        // Exact, since TLSCrypto and TLSEngine call the BoringSSL inside: docs/tls-engine.md says how it is raised.
        .package(url: "https://github.com/apple/swift-nio-ssl", exact: "2.37.6"),
        .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
        .package(url: "https://github.com/apple/swift-http-structured-headers", from: "1.7.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-atomics", from: "1.3.0"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        // The system's libcrypto: RSA at the key holder. No module that imports it may see BoringSSL's headers
        // (docs/tls-engine.md).
        .systemLibrary(name: "CLibCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),

        // The types of PKCS #11: a header, no library.
        .systemLibrary(name: "CPKCS11", providers: [.apt(["libp11-kit-dev"])]),

        // A system call that Swift does not see.
        .target(name: "CFileSpace"),
        // Sockets of relayed connections, as the system has them.
        .target(name: "CRelaySockets"),
        // What the program was built from.
        .target(name: "CBuildFacts", cSettings: [.define("LATCHSTRING_COMMIT", to: "\"\(commit)\"")]),

        // Pure: bytes in, bytes and decisions out.
        .target(name: "Admission", dependencies: [nio[0], collections], swiftSettings: strict),
        // What the channels of both parties have in common.
        .target(
            name: "Channels", dependencies: ["Telemetry", logging, metrics, nioHelpers, collections] + nio,
            swiftSettings: strict),
        .target(name: "TLSWire", dependencies: [nio[0]], swiftSettings: strict),
        .target(name: "KeyProtocol", dependencies: ["TLSWire", nio[0]], swiftSettings: strict),
        // Many streams over one link.
        .target(name: "StreamWire", dependencies: [nio[0], collections], swiftSettings: strict),
        // The cryptography of records and handshakes.
        .target(name: "TLSCrypto", dependencies: [nioSSL], swiftSettings: strict),
        .target(name: "RecordLayer", dependencies: ["TLSCrypto", "TLSWire", nio[0]], swiftSettings: strict),
        .target(
            name: "TLSEngine", dependencies: ["RecordLayer", "TLSCrypto", "TLSWire", nio[0], nioSSL],
            swiftSettings: strict),
        // OCSP responses from files, for both parties that show certificates.
        .target(name: "Stapling", dependencies: ["SecretFiles", "TLSEngine"], swiftSettings: strict),
        .target(
            name: "NativeHandshake", dependencies: ["TLSWire", nio[0], crypto, cryptoExtras], swiftSettings: strict),
        .target(name: "HTTPFields", dependencies: [nio[0]], swiftSettings: strict),
        .target(name: "HTTPWire", dependencies: ["HTTPFields", nio[0]], swiftSettings: strict),
        .target(name: "HTTP2Wire", dependencies: ["HTTPFields", nio[0]], swiftSettings: strict),
        .target(
            name: "HTTPForwarding", dependencies: ["HTTP2Wire", "HTTPFields", "HTTPWire", "TLSWire", nio[0]],
            swiftSettings: strict),

        .target(
            name: "HTTPCaching", dependencies: ["HTTPFields", nio[0], structuredFields],
            swiftSettings: strict),

        // What an edge is told: sites and their parts, once for all modules.
        .target(
            name: "EdgeModel", dependencies: ["Admission", "HTTPCaching", "TLSWire", nio[0]], swiftSettings: strict),

        // What of the C library Swift cannot call: macros, bit fields, variable arguments.
        .systemLibrary(name: "CSystemShims"),

        // Which authorities may issue for a name: the system's resolver, asked.
        .target(name: "CAARecords", dependencies: ["CSystemShims", "TLSWire"], swiftSettings: strict),

        // Log lines and metrics, for whatever reads them.
        .target(
            name: "Telemetry",
            dependencies: ["Admission", "HTTPFields", logging, coreMetrics, atomics, nioHelpers] + nio,
            swiftSettings: strict),

        // Keys and tokens on disk.
        .target(name: "SecretFiles", dependencies: [asn1, crypto], swiftSettings: strict),

        // Bytes as hexadecimal text.
        .target(name: "Hexadecimal", swiftSettings: strict),

        // Lines that are chained and signed, and what is wrong with a chain.
        .target(name: "AuditChain", dependencies: ["Hexadecimal", crypto], swiftSettings: strict),

        // Names of keys on tokens, and what goes between a key holder and the process with the PKCS #11 module.
        .target(name: "HSMWire", swiftSettings: strict),
        // That process.
        .target(name: "HSMWorker", dependencies: ["CPKCS11", "HSMWire", "SecretFiles"], swiftSettings: strict),

        // Certificates from an authority: the protocol without its network.
        .target(
            name: "ACME", dependencies: ["HTTPFields", "Hexadecimal", x509, asn1, crypto, cryptoExtras],
            swiftSettings: strict),

        // The same with network, state on disk, and time.
        .target(
            name: "ACMEClient",
            dependencies: [
                "ACME", "CSystemShims", "Hexadecimal", "SecretFiles", nioHTTP1, nioSSL, crypto, logging, lifecycle,
            ] + nio,
            swiftSettings: strict),

        // What responses are stored in.
        .target(
            name: "CacheStorage",
            dependencies: ["HTTPCaching", "HTTPFields", nioHelpers, collections, crypto, sqlite, logging] + nio,
            swiftSettings: strict
        ),

        // Links between our own parties.
        .target(
            name: "PeerLink",
            dependencies: [
                "Admission", "KeyProtocol", "SecretFiles", "StreamWire", "TLSWire", "Telemetry", nioSSL, nioTLS, x509,
                asn1, logging, metrics, collections,
            ] + nio,
            swiftSettings: strict),

        // Purges for a whole fleet: what is said on the bus, and who is believed.
        .target(
            name: "FleetBus", dependencies: ["Hexadecimal", "KeyProtocol", nio[0], crypto, collections],
            swiftSettings: strict),

        // The connection to that bus, its files, and both ends: the edge that follows, the command that orders.
        .target(
            name: "FleetLink",
            dependencies: [
                "FleetBus", "KeyProtocol", "PeerLink", "SecretFiles", nioSSL, nioTLS, nioHelpers, x509, asn1, crypto,
                cryptoExtras, logging, metrics, coreMetrics,
            ] + nio,
            swiftSettings: strict),

        // The stream after a native handshake, for both of its ends.
        .target(name: "NativeChannel", dependencies: ["NativeHandshake", nio[0]], swiftSettings: strict),

        // The three parties.
        .target(
            name: "KeyHolder",
            dependencies: [
                "Admission", "AuditChain", "CFileSpace", "CLibCrypto", "Channels", "HSMWire", "HTTPFields",
                "Hexadecimal", "KeyProtocol", "NativeChannel", "NativeHandshake", "PeerLink", "RecordLayer",
                "SecretFiles", "Stapling", "StreamWire", "TLSCrypto", "TLSEngine", "TLSWire", "Telemetry", nioSSL,
                nioTLS,
                x509, asn1,
                crypto, cryptoExtras, logging, metrics, lifecycle,
            ] + nio,
            swiftSettings: strict),
        // Its keys on tokens.
        .target(
            name: "HSMKeys",
            dependencies: [
                "CSystemShims", "HSMWire", "Hexadecimal", "KeyHolder", "SecretFiles", "TLSCrypto", "TLSWire", x509,
                crypto,
                cryptoExtras, logging,
            ], swiftSettings: strict),
        // HTTP between clients and origins, and what of it is stored.
        .target(
            name: "EdgeHTTP",
            dependencies: [
                "Admission", "CacheStorage", "Channels", "EdgeModel", "HTTP2Wire", "HTTPCaching", "HTTPFields",
                "HTTPForwarding", "HTTPWire", "TLSWire", "Telemetry", nioSSL, nioTLS, nioHelpers,
                logging, metrics,
            ] + nio,
            swiftSettings: strict),
        // What an edge passes on: bytes between clients and origins, and between native clients and key holders.
        .target(
            name: "EdgeRelay",
            dependencies: [
                "Admission", "CRelaySockets", "Channels", "EdgeModel", "NativeHandshake", "PeerLink", "TLSWire",
                "Telemetry", nioSSL, logging, metrics,
            ] + nio,
            swiftSettings: strict),
        // From a client's hello to a session whose records are the edge's.
        .target(
            name: "EdgeTLS",
            dependencies: [
                "Admission", "Channels", "EdgeModel", "KeyProtocol", "NativeHandshake", "PeerLink", "RecordLayer",
                "Stapling", "Telemetry", "TLSEngine", "TLSWire", nioSSL, logging, metrics,
            ] + nio,
            swiftSettings: strict),
        .target(
            name: "Edge",
            dependencies: [
                "Admission", "CacheStorage", "Channels", "EdgeHTTP", "EdgeModel", "EdgeRelay", "EdgeTLS", "FleetBus",
                "FleetLink", "HTTPCaching", "KeyProtocol", "NativeHandshake", "PeerLink", "RecordLayer", "Stapling",
                "StreamWire", "Telemetry", "TLSEngine", "TLSWire", nioSSL, nioHelpers, logging, metrics, lifecycle,
            ] + nio,
            swiftSettings: strict),
        // Stands alone: for other packages, too.
        .target(
            name: "NativeClient",
            dependencies: ["NativeChannel", "NativeHandshake", "TLSWire", x509, asn1, crypto] + nio,
            swiftSettings: strict),

        // What surrounds them.
        .target(
            name: "Settings",
            dependencies: [
                "ACME", "Admission", "EdgeModel", "FleetBus", "HSMWire", "HTTPCaching", "HTTPFields", "KeyProtocol",
                "SecretFiles", "TLSWire", "Telemetry", nio[0],
                yams,
            ],
            swiftSettings: strict),
        .target(
            name: "Admin",
            dependencies: [
                "Admission", "Channels", "SecretFiles", "Telemetry", nioHTTP1, nioHelpers, nioSSL, nioTLS, logging,
                atomics,
                lifecycle,
            ] + nio,
            swiftSettings: strict),
        .target(
            name: "PrivateAuthority",
            dependencies: ["Hexadecimal", "KeyProtocol", "SecretFiles", x509, asn1, crypto, cryptoExtras],
            swiftSettings: strict),
        // What is wrong, before clients find out.
        .target(
            name: "Diagnosis",
            dependencies: [
                "CAARecords", "EdgeModel", "FleetBus", "FleetLink", "HSMKeys", "HSMWire", "KeyHolder", "KeyProtocol",
                "NativeClient", "NativeHandshake", "PeerLink", "RecordLayer", "Settings", "Stapling", "TLSWire",
                "Telemetry",
                nioHTTP1, nioHelpers,
                nioSSL, nioTLS, x509, asn1, crypto,
                cryptoExtras, logging,
            ] + nio,
            swiftSettings: strict),
        // All parties on one machine, and where the keys are.
        .target(
            name: "DemoKit",
            dependencies: [
                "CSystemShims", "Diagnosis", "Hexadecimal", "NativeClient", "NativeHandshake", "PrivateAuthority",
                "TLSWire",
                "Telemetry",
                nioHTTP1,
                nioSSL, x509, asn1, crypto,
            ] + nio,
            swiftSettings: strict),
        .executableTarget(
            name: "latchstring",
            dependencies: [
                "ACME", "ACMEClient", "Admin", "AuditChain", "CAARecords", "CBuildFacts", "CacheStorage", "Channels",
                "CSystemShims", "DemoKit", "Diagnosis", "Edge", "EdgeHTTP", "EdgeModel", "FleetBus", "FleetLink",
                "HSMKeys", "HSMWorker", "HTTPCaching",
                "HTTPFields", "KeyHolder", "KeyProtocol", "NativeClient", "NativeHandshake", "PeerLink",
                "PrivateAuthority",
                "SecretFiles", "Settings", "Telemetry", "TLSWire", nioHTTP1, logging, metrics, nioHelpers,
                lifecycle,
                .product(name: "UnixSignals", package: "swift-service-lifecycle", condition: program),
                argumentParser,
            ] + nio,
            swiftSettings: strict),

        // A load tool of Benchmarks/run: the one that needs our own client library.
        .executableTarget(
            name: "nativeload",
            dependencies: [
                "NativeClient", "NativeHandshake", "TLSWire",
                argumentParser,
            ] + nio,
            path: "Benchmarks/nativeload",
            swiftSettings: strict),
        // What Benchmarks/run compares `relay` mode with: two channels and nothing else.
        .executableTarget(
            name: "relayfloor", dependencies: [argumentParser] + nio, path: "Benchmarks/relayfloor",
            swiftSettings: strict),

        // What a record costs: Benchmarks/recordcost/run.
        .executableTarget(
            name: "recordcost", dependencies: ["RecordLayer", nio[0]], path: "Benchmarks/recordcost", exclude: ["run"],
            swiftSettings: strict),

        // How many blocks of memory a request takes: Benchmarks/allocations/run, and a test.
        .target(name: "CAllocationCount", path: "Benchmarks/allocationcount"),
        .executableTarget(
            name: "allocations",
            dependencies: [
                "CAllocationCount", "CacheStorage", "Channels", "EdgeHTTP", "EdgeModel", "EdgeTLS", "HTTPFields",
                "RecordLayer", "TLSWire", logging,
            ] + nio,
            path: "Benchmarks/allocations", exclude: ["run", "thresholds.json"], swiftSettings: strict),

        // The bus of a fleet, measured: Benchmarks/fleet/run.
        .executableTarget(
            name: "fleetload",
            dependencies: [
                "FleetBus", "FleetLink", "PrivateAuthority", crypto, logging,
                argumentParser,
            ] + nio,
            path: "Benchmarks/fleetload",
            swiftSettings: strict),

        // Tests: one target per module, and one that drives the real binary with real clients.
        .testTarget(
            name: "ChannelsTests", dependencies: ["Channels", nioEmbedded, logging] + nio, swiftSettings: strict),
        .testTarget(
            name: "TelemetryTests",
            dependencies: [
                "HTTPFields", "Telemetry", "TestLogs", metrics, coreMetrics, logging, nioEmbedded, nioHelpers,
            ] + nio, swiftSettings: strict),
        .testTarget(
            name: "DiagnosisTests",
            dependencies: [
                "Diagnosis", "FleetBus", "FleetLink", "KeyHolder", "KeyProtocol", "PeerLink", "PrivateAuthority",
                "SecretFiles", "Settings", "Telemetry", "TestBus", "TestSockets", "TLSWire", x509, asn1, crypto,
                logging,
                nio[0],
            ], swiftSettings: strict),
        .testTarget(
            name: "DemoKitTests", dependencies: ["DemoKit", "PrivateAuthority", crypto], swiftSettings: strict),
        .testTarget(
            name: "AdmissionTests", dependencies: ["Admission", "TestSockets", collections, nio[0]],
            swiftSettings: strict),
        .testTarget(
            name: "CAARecordsTests", dependencies: ["CAARecords", "TLSWire", "TestSockets"], swiftSettings: strict),
        .testTarget(name: "FleetBusTests", dependencies: ["FleetBus", crypto, nio[0]], swiftSettings: strict),
        // A Redis server for a test.
        .target(name: "TestBus", dependencies: ["TestSockets"], path: "Tests/Support/TestBus", swiftSettings: strict),
        .testTarget(
            name: "FleetLinkTests",
            dependencies: [
                "FleetBus", "FleetLink", "PrivateAuthority", "TestBus", "TestLogs", "TestSockets", crypto, logging,
                nioHelpers,
            ] + nio,
            swiftSettings: strict),
        .target(
            name: "TestDirectory", dependencies: [x509, asn1, crypto, nioSSL, nioHTTP1] + nio,
            path: "Tests/Support/TestDirectory",
            swiftSettings: strict),
        .testTarget(
            name: "ACMEClientTests",
            dependencies: ["ACME", "ACMEClient", "SecretFiles", "TestDirectory", nio[0], nio[1], logging],
            swiftSettings: strict),
        .testTarget(
            name: "ACMETests", dependencies: ["ACME", "TestDirectory", x509, asn1, crypto, cryptoExtras],
            swiftSettings: strict),
        .testTarget(name: "SecretFilesTests", dependencies: ["SecretFiles"], swiftSettings: strict),
        .testTarget(name: "HexadecimalTests", dependencies: ["Hexadecimal"], swiftSettings: strict),
        .testTarget(
            name: "AuditChainTests", dependencies: ["AuditChain", "Hexadecimal", crypto], swiftSettings: strict),
        .testTarget(name: "TLSCryptoTests", dependencies: ["TLSCrypto", nio[0], crypto], swiftSettings: strict),
        .testTarget(
            name: "TLSEngineTests",
            dependencies: [
                "PrivateAuthority", "RecordLayer", "TLSEngine", "TLSWire", "TestSockets", nioSSL,
                nioEmbedded, crypto, cryptoExtras, x509,
            ] + nio,
            swiftSettings: strict),
        .testTarget(
            name: "StaplingTests", dependencies: ["PrivateAuthority", "Stapling", "TLSEngine", "TestSockets"],
            swiftSettings: strict),
        .testTarget(name: "TLSWireTests", dependencies: ["TLSWire"] + [nio[0]], swiftSettings: strict),
        .testTarget(
            name: "KeyProtocolTests", dependencies: ["KeyProtocol", "TLSWire"] + [nio[0]], swiftSettings: strict),
        .testTarget(name: "StreamWireTests", dependencies: ["StreamWire", nio[0]], swiftSettings: strict),
        .testTarget(
            name: "RecordLayerTests",
            dependencies: [
                "RecordLayer", "TLSCrypto", "TLSEngine", "TLSWire", "PrivateAuthority", nio[0], nioSSL, nioEmbedded,
                crypto,
            ],
            swiftSettings: strict),
        .testTarget(
            name: "NativeHandshakeTests",
            dependencies: ["NativeHandshake", "TLSWire", nio[0], crypto, cryptoExtras], swiftSettings: strict),
        .testTarget(name: "HTTPFieldsTests", dependencies: ["HTTPFields", nio[0]], swiftSettings: strict),
        .testTarget(
            name: "HTTPWireTests",
            dependencies: ["HTTPFields", "HTTPWire", "TestSockets", nio[0], nioHTTP1, nioEmbedded],
            swiftSettings: strict),
        .testTarget(
            name: "HTTP2WireTests", dependencies: ["HTTP2Wire", "HTTPFields", nio[0], nioHPACK], swiftSettings: strict),
        .testTarget(
            name: "HTTPForwardingTests",
            dependencies: ["HTTP2Wire", "HTTPFields", "HTTPForwarding", "HTTPWire", "TLSWire", nio[0]],
            swiftSettings: strict),
        .testTarget(
            name: "HTTPCachingTests", dependencies: ["HTTPCaching", "HTTPFields", nio[0], structuredFields],
            swiftSettings: strict),
        .executableTarget(
            name: "CacheCrashHelper",
            dependencies: ["CacheStorage", "HTTPCaching", "HTTPFields", logging] + nio,
            path: "Tests/Support/CacheCrashHelper", swiftSettings: strict),
        .testTarget(
            name: "CacheStorageTests",
            dependencies: [
                "TestSockets", "CacheCrashHelper", "CacheStorage", "HTTPCaching", "HTTPFields", nioHelpers, logging,
                sqlite,
            ]
                + nio,
            swiftSettings: strict),
        .testTarget(
            name: "SettingsTests",
            dependencies: [
                "ACME", "Admission", "EdgeModel", "FleetBus", "HSMWire", "HTTPCaching", "HTTPFields", "KeyProtocol",
                "Settings",
                "TLSWire", "Telemetry", nio[0],
            ],
            swiftSettings: strict),
        .testTarget(
            name: "PrivateAuthorityTests", dependencies: ["PrivateAuthority", x509, asn1, crypto], swiftSettings: strict
        ),
        .testTarget(
            name: "PeerLinkTests",
            dependencies: [
                "Admission", "PrivateAuthority", "KeyProtocol", "PeerLink", "StreamWire", "TLSWire", "Telemetry",
                "TestLogs", nioSSL, nioTLS, nioHelpers, nioEmbedded, logging,
            ] + nio,
            swiftSettings: strict),
        .testTarget(
            name: "KeyHolderTests",
            dependencies: [
                "TestSockets",
                "Admission", "AuditChain", "Channels", "PrivateAuthority", "HSMWire", "KeyHolder", "KeyProtocol",
                "NativeHandshake", "PeerLink", "RecordLayer", "SecretFiles", "StreamWire", "TLSEngine", "TLSWire",
                "Telemetry",
                nioSSL,
                nioEmbedded, x509, asn1, crypto, cryptoExtras, logging,
            ] + nio,
            swiftSettings: strict),
        .testTarget(name: "HSMWireTests", dependencies: ["HSMWire"], swiftSettings: strict),
        // A token of SoftHSM for a test.
        .target(
            name: "TestToken", dependencies: ["SecretFiles", "TestSockets"], path: "Tests/Support/TestToken",
            swiftSettings: strict),
        // A worker whose module has faults, by a file.
        .executableTarget(
            name: "HSMTestWorker", dependencies: ["CPKCS11", "HSMWire", "HSMWorker"],
            path: "Tests/Support/HSMTestWorker", swiftSettings: strict),
        .testTarget(
            name: "HSMKeysTests",
            dependencies: [
                "Admission", "HSMKeys", "HSMTestWorker", "HSMWire", "KeyHolder", "PrivateAuthority", "SecretFiles",
                "TestLogs", "TestSockets", "TestToken", "TLSWire", x509, asn1, crypto, logging,
            ], swiftSettings: strict),
        .target(
            name: "TestSockets", dependencies: ["CSystemShims"], path: "Tests/Support/TestSockets",
            swiftSettings: strict),
        .target(
            name: "TestLogs", dependencies: ["TestSockets", logging], path: "Tests/Support/TestLogs",
            swiftSettings: strict),
        // One end of a connection that says and hears plain bytes.
        .target(name: "TestWire", dependencies: [nioSSL] + nio, path: "Tests/Support/TestWire", swiftSettings: strict),
        .testTarget(
            name: "EdgeHTTPTests",
            dependencies: [
                "allocations", "Admission", "CacheStorage", "Channels", "EdgeHTTP", "EdgeModel", "HTTP2Wire",
                "HTTPCaching",
                "HTTPFields", "HTTPForwarding", "PrivateAuthority", "Telemetry", "TestSockets", "TestWire", "TLSWire",
                nioSSL,
                nioHTTP2,
                nioHPACK,
                nioEmbedded, nioHelpers, crypto, logging,
            ] + nio,
            swiftSettings: strict),
        .testTarget(
            name: "EdgeRelayTests",
            dependencies: ["Admission", "CRelaySockets", "EdgeRelay", "TestSockets"] + nio, swiftSettings: strict),
        .testTarget(
            name: "EdgeTLSTests",
            dependencies: [
                "Admission", "Channels", "EdgeModel", "EdgeTLS", "KeyProtocol", "NativeHandshake", "PeerLink",
                "PrivateAuthority", "RecordLayer", "Telemetry", "TestSockets", "TestWire", "TLSEngine", "TLSWire",
                nioSSL, nioEmbedded, nioHelpers, crypto, logging,
                .product(name: "MetricsTestKit", package: "swift-metrics", condition: program),
            ] + nio,
            swiftSettings: strict),
        .testTarget(
            name: "EdgeTests",
            dependencies: [
                "Admission", "CacheStorage", "Channels", "Edge", "EdgeHTTP", "EdgeModel", "EdgeRelay", "EdgeTLS",
                "FleetBus", "HTTPCaching", "HTTPFields", "HTTPForwarding", "HTTPWire", "KeyHolder", "KeyProtocol",
                "PeerLink", "PrivateAuthority", "Telemetry", "TestLogs", "TestSockets", "TestWire", "TLSWire", nioSSL,
                nioEmbedded, crypto, logging,
                .product(name: "MetricsTestKit", package: "swift-metrics", condition: program),
            ] + nio,
            swiftSettings: strict),
        .testTarget(
            name: "NativeClientTests",
            dependencies: [
                "Diagnosis", "PrivateAuthority", "NativeClient", "NativeChannel", "NativeHandshake", "TLSWire",
                "TestSockets",
                nioSSL,
                nioHTTP1, nioEmbedded, x509, asn1, crypto, cryptoExtras,
            ] + nio,
            swiftSettings: strict),
        .testTarget(
            name: "AdminTests",
            dependencies: ["Admin", "Admission", "Channels", "Telemetry", metrics, logging, nioHTTP1] + nio,
            swiftSettings: strict),
        .testTarget(
            name: "EndToEndTests",
            dependencies: [
                "DemoKit", "latchstring", "NativeClient", "NativeHandshake",
                "PrivateAuthority", "Settings", "Telemetry", "TestBus", "TestDirectory", "TestSockets", "TestToken",
                "TLSWire", logging, nioSSL,
                nioHTTP1, nioHelpers, crypto,
                yams,
            ] + nio,
            swiftSettings: strict),
    ]
)
