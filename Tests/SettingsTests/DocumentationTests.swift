import Foundation
import Testing

@testable import Settings

/// `docs/configuration.md` says what the code does.
@Suite("The configuration reference")
struct DocumentationTests {
    private static let text: String =
        (try? String(
            contentsOf: URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .deletingLastPathComponent().appendingPathComponent("docs/configuration.md"), encoding: .utf8)) ?? ""

    /// The lines of the section that begins with `heading`, up to the next heading.
    private static func section(_ heading: String) -> [Substring] {
        let lines = Self.text.split(separator: "\n", omittingEmptySubsequences: false)
        guard let start = lines.firstIndex(of: Substring(heading)) else { return [] }
        return Array(lines[(start + 1)...].prefix { !$0.hasPrefix("#") })
    }

    /// A blank line in a table makes text of the rows below it.
    @Test("Each table in the docs is a whole one: a head, a line below it, rows of as many cells")
    func tables() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let pages = try FileManager.default.contentsOfDirectory(
            at: root.appendingPathComponent("docs"), includingPropertiesForKeys: nil
        ).filter { $0.pathExtension == "md" }
        #expect(pages.count > 10)
        for page in pages + [root.appendingPathComponent("README.md")] {
            let lines = try String(contentsOf: page, encoding: .utf8).split(
                separator: "\n", omittingEmptySubsequences: false)
            var columns: Int?
            for (number, line) in lines.enumerated() {
                guard line.hasPrefix("|") else {
                    columns = nil
                    continue
                }
                let place = "\(page.lastPathComponent):\(number + 1)"
                if let columns {
                    #expect(Self.cells(line) == columns, "\(place)")
                } else {
                    columns = Self.cells(line)
                    let below = number + 1 < lines.count ? lines[number + 1] : ""
                    #expect(below.wholeMatch(of: /\|([ :-]+\|)+/) != nil, "\(place): rows without a head")
                }
            }
        }
    }

    /// Of a row; what is code or escaped divides none.
    private static func cells(_ row: Substring) -> Int {
        row.replacing(/`[^`]*`|\\\|/, with: "").count { $0 == "|" }
    }

    @Test("Both files' keys are listed")
    func keys() {
        let edge = Self.section("## An edge's file")
        for key in EdgeReader.keys {
            #expect(edge.contains { $0.hasPrefix("| `\(key)` |") }, "\(key)")
        }
        let fleet = Self.section("### `fleet`")
        for key in FleetReader.keys {
            #expect(fleet.contains { $0.hasPrefix("| `\(key)` |") }, "\(key)")
        }
        let keyHolder = Self.section("## A key holder's file")
        for key in KeyHolderReader.keys {
            #expect(keyHolder.contains { $0.hasPrefix("| `\(key)` |") }, "\(key)")
        }
    }

    @Test(
        "Ranges of durations",
        arguments: [
            ("### `keyholders.NAME`", "deadline", SettingsRanges.deadline),
            ("### `sites` of an edge", "connect", SettingsRanges.connect),
            ("### `sites` of an edge", "ticket-lifetime", SettingsRanges.ticketLifetime),
            ("### `sites` of an edge", "response", SettingsRanges.response),
            ("### `sites` of an edge", "idle", SettingsRanges.relayIdle),
            ("### `sites` of an edge", "lifetime", SettingsRanges.lifetime),
            ("### `limits` of an edge", "hello-timeout", SettingsRanges.helloTimeout),
            ("### `limits` of an edge", "handshake-timeout", SettingsRanges.handshakeTimeout),
            ("### `limits` of an edge", "idle", SettingsRanges.keepAliveIdle),
            ("### `limits` of an edge", "minimum-rate-window", SettingsRanges.minimumRateWindow),
            ("### `fleet`", "catch-up", SettingsRanges.fleetCatchUp),
            ("## An edge's file", "drain", SettingsRanges.drain),
            ("### `hand-over` (both files)", "timeout", SettingsRanges.handOverTimeout),
            ("### `limits` of a key holder", "client-handshake-timeout", SettingsRanges.handshakeTimeout),
            ("## A key holder's file", "lease", SettingsRanges.lease),
        ] as [(String, String, ClosedRange<Duration>)])
    func durations(heading: String, key: String, range: ClosedRange<Duration>) {
        let lowest = DurationText.describe(range.lowerBound)
        let highest = DurationText.describe(range.upperBound)
        let lines = Self.section(heading).filter { $0.hasPrefix("| `\(key)` |") }
        #expect(!lines.isEmpty)
        #expect(lines.allSatisfy { $0.contains("`\(lowest)` to `\(highest)`") })
    }

    @Test(
        "Ranges of numbers",
        arguments: [
            ("### `keyholders.NAME`", "in-flight", SettingsRanges.inFlight),
            ("### `limits` of an edge", "connections", SettingsRanges.edgeConnections),
            ("### `limits` of an edge", "connections-per-client", SettingsRanges.edgeConnections),
            ("### `limits` of an edge", "handshakes-per-client", SettingsRanges.handshakesPerClient),
            ("### `limits` of an edge", "ipv6-prefix", SettingsRanges.ipv6Prefix),
            ("### `limits` of an edge", "hello-bytes", SettingsRanges.helloBytes),
            ("### `limits` of an edge", "request-head-bytes", SettingsRanges.requestHeadBytes),
            ("### `limits` of an edge", "minimum-rate", SettingsRanges.minimumRate),
            ("### `fleet`", "stream-length", SettingsRanges.fleetStream),
            ("### `grants`", "rate", SettingsRanges.rate),
            ("### `limits` of a key holder", "connections", SettingsRanges.keyHolderConnections),
            ("### `limits` of a key holder", "in-flight", SettingsRanges.inFlight),
            ("### `limits` of a key holder", "client-handshakes", SettingsRanges.clientHandshakes),
            ("### `limits` of a key holder", "packets", SettingsRanges.packets),
            ("## An edge's file", "threads", SettingsRanges.threads),
            ("## A key holder's file", "threads", SettingsRanges.threads),
        ] as [(String, String, ClosedRange<Int>)])
    func numbers(heading: String, key: String, range: ClosedRange<Int>) {
        let lines = Self.section(heading).filter { $0.hasPrefix("| `\(key)` |") }
        #expect(lines.count == 1)
        #expect(lines.allSatisfy { $0.contains("\(range.lowerBound) to \(range.upperBound)") })
    }
}
