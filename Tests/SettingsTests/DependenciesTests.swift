import Foundation
import Testing

/// `docs/dependencies.md` says what `Package.swift` asks for.
@Suite("The table of dependencies")
struct DependenciesTests {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    private static func read(_ path: String) throws -> String {
        try String(contentsOf: Self.root.appendingPathComponent(path), encoding: .utf8)
    }

    /// Requirements by URL, as `from 1.2.3`.
    private static func manifest(_ path: String) throws -> [String: String] {
        var packages: [String: String] = [:]
        let pattern = /\.package\(\s*url: "([^"]+)",\s*(?:(from|exact): |\.upToNextMinor\((from): )"([^"]+)"/
        for match in try Self.read(path).matches(of: pattern) {
            packages[String(match.1)] = "\(match.2 ?? match.3 ?? "") \(match.4)"
        }
        return packages
    }

    private struct Row: Equatable {
        var required: String
        var resolved: String
        var licence: String
        var purpose: String
    }

    private static func rows() throws -> [String: Row] {
        var rows: [String: Row] = [:]
        for line in try Self.read("docs/dependencies.md").split(separator: "\n") {
            guard
                let match = line.firstMatch(
                    of: /^\| \[[^\]]+\]\(([^)]+)\) \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$/)
            else { continue }
            rows[String(match.1)] = Row(
                required: String(match.2), resolved: String(match.3), licence: String(match.4),
                purpose: String(match.5))
        }
        return rows
    }

    private static func numbers(_ version: some StringProtocol) -> [Int] {
        version.split(separator: ".").compactMap { Int($0) }
    }

    @Test("Every package of Package.swift stands in the table with its requirement, and no other")
    func packages() throws {
        let manifest = try Self.manifest("Package.swift")
        #expect(manifest.count >= 15)
        #expect(try Self.read("Package.swift").matches(of: /\.package\(\s*url:/).count == manifest.count)
        #expect(try Self.rows().mapValues(\.required) == manifest)
    }

    @Test("What was resolved is a version that the requirement allows")
    func resolved() throws {
        for (url, row) in try Self.rows() {
            let required = Self.numbers(row.required.split(separator: " ").last ?? "")
            let resolved = Self.numbers(row.resolved)
            #expect(required.count == 3 && resolved.count == 3, "\(url)")
            #expect(required.first == resolved.first && !resolved.lexicographicallyPrecedes(required), "\(url)")
            #expect(!row.required.hasPrefix("exact") || required == resolved, "\(url)")
            #expect(["Apache 2.0", "MIT"].contains(row.licence), "\(url)")
        }
    }

    @Test("The fuzz package asks for the same versions")
    func fuzz() throws {
        let manifest = try Self.manifest("Package.swift")
        for (url, requirement) in try Self.manifest("Fuzz/Package.swift") {
            #expect(manifest[url] == requirement, "\(url)")
        }
    }

    @Test("The table has a date")
    func date() throws {
        let match = try #require(
            try Self.read("docs/dependencies.md").firstMatch(of: /As of (20\d\d-[01]\d-[0-3]\d)\./))
        #expect(try Date("\(match.1)T00:00:00Z", strategy: .iso8601) > Date(timeIntervalSince1970: 1_700_000_000))
    }
}
