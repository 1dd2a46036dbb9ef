// swift-tools-version: 6.1
//
// A package of its own, as an application's: it imports nothing but the library.
import PackageDescription

let package = Package(
    name: "CacheDecision",
    dependencies: [
        // An application writes .package(url: "https://…/latchstring", from: "0.1.0", traits: []).
        .package(name: "latchstring", path: "../..", traits: [])
    ],
    targets: [
        .executableTarget(name: "CacheDecision", dependencies: [.product(name: "HTTPCaching", package: "latchstring")])
    ]
)
